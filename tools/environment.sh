# SPDX-License-Identifier: Apache-2.0
# For quickstart and run-tests, which source it: a Python environment in .venv, made once and
# renewed when what it was made from has changed. Not for deployments.
# shellcheck shell=sh

say() {
    printf '%s\n' "$*" >&2
}

fail() {
    say "$(basename "$0"): $*"
    exit 1
}

# prepare_environment TOP EXTRAS [FOLDER...]: TOP/.venv with the project, its extras, the programs
# that its users have anyway, and the distributions in those FOLDERs that exist.
# Sets $environment.
prepare_environment() {
    environment=$1/.venv
    _top=$1 _extras=$2
    shift 2
    if ! _is_new_enough "$environment/bin/python"; then
        _find_python
        say "Making a Python environment in $environment ($("$_python" --version))"
        "$_python" -m venv --clear "$environment" || fail "the environment cannot be made."
    fi
    set -- -e "$_top[$_extras]" python-openstackclient $(_distributions "$@")
    _stamp=$environment/.installed-$(printf '%s' "$_extras" | tr -c 'a-z' '_')
    _wanted=$(_fingerprint "$@")
    if [ "$(cat "$_stamp" 2>/dev/null)" != "$_wanted" ]; then
        say "Installing glance_lite and what it needs ($_extras); this takes a minute"
        # first the project, which the distributions in the folders need
        _install -e "$_top[$_extras]" && _install "$@" ||
            fail "the packages cannot be installed; see above."
        printf '%s\n' "$_wanted" >"$_stamp"
    fi
}

_install() {
    "$environment/bin/python" -m pip install -qq --disable-pip-version-check "$@"
}

_is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

_find_python() {
    for _python in python3 python3.14 python3.13 python3.12 python3.11; do
        if _is_new_enough "$_python"; then
            "$_python" -c 'import venv, ensurepip' 2>/dev/null ||
                fail "Python's venv module is missing: apt install python3-venv"
            return
        fi
    done
    fail "Python 3.11 or newer is needed, and there is $(python3 --version 2>/dev/null ||
        echo none): apt install python3 python3-venv"
}

# The folders among the arguments that hold a distribution.
_distributions() {
    for _folder in "$@"; do
        if [ -e "$_folder/setup.cfg" ] || [ -e "$_folder/pyproject.toml" ]; then
            printf './%s\n' "$_folder"
        fi
    done
}

# One word that changes when the metadata of the project or a file of a distribution does.
_fingerprint() {
    {
        printf '%s\n' "$@"
        cat "$_top/setup.cfg" "$_top/pyproject.toml"
        for _folder in "$@"; do
            case $_folder in
            ./*)
                find "$_folder" -type f \( -name '*.py' -o -name '*.cfg' -o -name '*.toml' \) \
                    ! -path '*/build/*' -exec cksum {} +
                ;;
            esac
        done
    } | cksum
}
