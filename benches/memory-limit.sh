#!/usr/bin/env bash
# Generates with models that are larger than the memory they may use, and compares
# what comes from the disk with reading the same file in order.
#
#   benches/memory-limit.sh MODEL.gguf...
#
# Every round runs, in a control group that may use 1 / OVER of the file's size:
# `dd` over the dropped file, then `generate`, once for TOKENS tokens and once for
# one, so that the difference is what a token costs. Prints medians. Needs root,
# GNU dd and control groups (version 1 or 2), on Linux.
#
#   read a token   what came from the disk for each token
#   at             how fast, computing included
#   ÷ dd           that speed against dd's under the same limit
#   ÷ all          time that dd takes for the whole file ÷ time of a token: above
#                  1 where it pays to keep what fits
#
# Settings: GENERATE (target/release/...), ROUNDS (5), TOKENS (17), THREADS (2),
# OVER (1.5).
set -euo pipefail

if [ $# -lt 1 ]; then
    sed -n '2,20s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
release=$(cd "$(dirname "$0")" && pwd)/../target/release
generate=${GENERATE:-$release/generate}
rounds=${ROUNDS:-5} tokens=${TOKENS:-17} threads=${THREADS:-2} over=${OVER:-1.5}
[ -x "$generate" ] || { echo "$generate: not a program" >&2; exit 1; }

work=$(mktemp -d)
own=$(sed -n 's/^[0-9]*:memory://p' /proc/self/cgroup)
if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ]; then
    parent=/sys/fs/cgroup/memory$own limit_file=memory.limit_in_bytes
    [ -d "$parent" ] || parent=/sys/fs/cgroup/memory
else
    parent=/sys/fs/cgroup limit_file=memory.max
fi
group=$parent/firstlight-bench-$$
mkdir "$group"
trap 'rmdir "$group" 2>/dev/null; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Runs a program in the group, the model dropped; prints seconds and bytes read.
limited() {
    local begin end read
    sync "$model"
    dd if="$model" iflag=nocache count=0 status=none
    begin=$EPOCHREALTIME
    # shellcheck disable=SC2016 # the inner shell expands it, and is told what its children read
    sh -c 'echo $$ >"$0/cgroup.procs" && "$@" >/dev/null 2>&1 && sed -n "s/^read_bytes: //p" /proc/$$/io' \
        "$group" "$@" >"$work/read" || { echo "$1 failed" >&2; exit 1; }
    end=$EPOCHREALTIME
    read=$(cat "$work/read")
    awk -v a="$begin" -v b="$end" -v read="$read" 'BEGIN { sub(",", ".", a); sub(",", ".", b); print b - a, read }'
}

median() {
    sort -g | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

echo "| model | MB | may use | read a token, MB | s a token | at, MB/s | dd, MB/s | ÷ dd | ÷ all | min to max ÷ dd |"
echo "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
for model in "$@"; do
    size=$(stat -c %s "$model")
    limit=$(awk -v size="$size" -v over="$over" 'BEGIN { printf "%.0f", size / over }')
    echo "$limit" >"$group/$limit_file"
    : >"$work/rounds"
    for ((round = 1; round <= rounds; round++)); do
        dd=$(limited dd if="$model" of=/dev/null bs=1M)
        args=(--model "$model" --device cpu --threads "$threads" --context 128 --temperature 0)
        one=$(limited "$generate" "${args[@]}" --max-tokens 1 the)
        many=$(limited "$generate" "${args[@]}" --max-tokens "$tokens" the)
        # read a token, seconds a token, dd's speed
        echo "$dd $one $many" | awk -v n="$((tokens - 1))" -v size="$size" \
            '{ print ($6 - $4) / n / 1e6, ($5 - $3) / n, $2 / $1 / 1e6, size / 1e6 }' >>"$work/rounds"
    done
    read=$(awk '{ print $1 }' "$work/rounds" | median)
    seconds=$(awk '{ print $2 }' "$work/rounds" | median)
    speed=$(awk '{ print $1 / $2 }' "$work/rounds" | median)
    dd=$(awk '{ print $3 }' "$work/rounds" | median)
    share=$(awk '{ print $1 / $2 / $3 }' "$work/rounds" | median)
    all=$(awk '{ print $4 / $3 / $2 }' "$work/rounds" | median)
    range=$(awk '{ print $1 / $2 / $3 }' "$work/rounds" | sort -g | sed -n '1p;$p' | paste -sd' ')
    # shellcheck disable=SC2086 # two numbers
    printf '| %s | %.0f | %.0f | %.0f | %.3f | %.0f | %.0f | %.2f | %.2f | %.2f to %.2f |\n' \
        "$(basename "$model" .gguf)" "$(awk -v n="$size" 'BEGIN { print n / 1e6 }')" \
        "$(awk -v n="$limit" 'BEGIN { print n / 1e6 }')" "$read" "$seconds" "$speed" "$dd" "$share" "$all" $range
done
