# shellcheck shell=bash
# What the scripts share. Sourced, never run; expects `set -euo pipefail`.

# This repository, wherever it was cloned to and wherever the caller stands.
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
export root

die() {
    printf '%s: %s\n' "$(basename -- "$0")" "$1" >&2
    exit "${2:-1}"
}

# Prints the comment block at the top of the calling script: the help text lives in one place.
usage() {
    awk 'NR > 1 && !/^#/ { exit } NR > 1 { sub(/^# ?/, ""); print }' "$0"
}

now() {
    printf '%s' "${EPOCHREALTIME/,/.}"
}

# seconds SINCE: the time since then, with one decimal.
seconds() {
    awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'
}

# One line per step with its time. The step's own output goes to a log, and is shown only when it fails.
# step NAME MEND COMMAND...: MEND is the command that the reader should try when COMMAND fails.
step() {
    local name=$1 mend=$2 start log status=0
    shift 2
    start=$(now)
    log=$(mktemp)
    "$@" >"$log" 2>&1 </dev/null || status=$?
    if ((status != 0)); then
        cat -- "$log" >&2
        rm -f -- "$log"
        printf '%-12s failed after %s s\n%s\n' "$name" "$(seconds "$start")" "to mend: $mend" >&2
        exit "$status"
    fi
    rm -f -- "$log"
    printf '%-12s %6s s\n' "$name" "$(seconds "$start")"
}

# A build folder whose cache names another source tree (a copied checkout), or which another generator made, is started
# afresh: cmake would refuse it.
clean_foreign_cache() {
    local cache=$1/CMakeCache.txt
    [[ -f $cache ]] || return 0
    grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$cache" && grep -qx 'CMAKE_GENERATOR:INTERNAL=Ninja' "$cache" &&
        return 0
    rm -rf -- "$cache" "$1/CMakeFiles"
}

# configure DIR OPTION...: cmake with Ninja. What was found of LMDB is forgotten, because tools/bootstrap may have built
# a sound one since.
configure() {
    local dir=$1
    shift
    clean_foreign_cache "$dir"
    cmake -S "$root" -B "$dir" -G Ninja -U 'LMDB_*' "$@"
}

# Every source file that git tracks or would track, one per line with NUL; without git (a tarball) all but build folders.
# source_files PATTERN...
source_files() {
    if git -C "$root" rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        (cd "$root" && git ls-files -z -co --exclude-standard --deduplicate -- "$@" | existing_files)
    else
        local names=() pattern
        for pattern in "$@"; do
            names+=(-o -name "$pattern")
        done
        (cd "$root" && find . \( -name '.?*' -o -path './build' -o -path './build-*' \) -prune -o -type f \
            \( "${names[@]:1}" \) -printf '%P\0' | sort -z)
    fi
}

# Drops names that the index still has and the folder no longer has.
existing_files() {
    local name
    while IFS= read -r -d '' name; do
        [[ -f $name ]] && printf '%s\0' "$name"
    done
    return 0
}
