#!/usr/bin/env bash
# Compares the time from exec to the first token of `generate` with that of
# llama.cpp's llama-completion, in one interleaved run.
#
#   benches/startup.sh LLAMA_COMPLETION MODEL.gguf...
#
# Every round starts both programs on every model, warm (the file cached) and
# cold (dropped from the cache), one right after the other; llama-completion once
# for each of the switches below. The prompt is the same for all, cut so that it
# has as many tokens as wanted, and one token is generated. The clock runs from
# exec to the first byte on stdout. Before each cold start of `generate`, dd reads
# the dropped file alone. Prints medians over the rounds when it ends, also when
# it is interrupted. Needs GNU dd, on Linux.
#
# Settings: GENERATE, CONFORM (target/release/...), ROUNDS (5), TOKENS (41),
# THREADS (2), DISKS ("warm cold"), PROMPT (a text to cut), SWITCHES (one variant
# a line, the default of llama.cpp first: it is named on its own).
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,18s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
llama=$1
shift
release=$(cd "$(dirname "$0")" && pwd)/../target/release
generate=${GENERATE:-$release/generate} conform=${CONFORM:-$release/conform}
rounds=${ROUNDS:-5} tokens=${TOKENS:-41} threads=${THREADS:-2} disks=${DISKS:-warm cold}
text=${PROMPT:-The lighthouse keeper had not seen a ship in eleven days, and the radio had been silent for nine of them, so when the knock came at the door he first thought of the wind and then of his brother, who had promised to come before the winter.}
switches=${SWITCHES:-"--repack
--no-repack --no-warmup
--no-repack --no-warmup --load-mode none
--no-repack --no-warmup --numa distribute"}
for program in "$generate" "$conform" "$llama"; do
    [ -x "$program" ] || { echo "$program: not a program" >&2; exit 1; }
done

work=$(mktemp -d)
figures=$work/figures
: >"$figures"

report() {
    # model, disk, engine -> median; then one line for each model and disk.
    sort -k1,1 -k2,2 -k3,3 -k4,4g "$figures" | awk '
        function close_group() {
            if (!n) return
            median = (v[int((n + 1) / 2)] + v[int(n / 2) + 1]) / 2
            key = model "\t" disk
            if (engine == "generate") { ours[key] = median; runs[key] = n }
            else if (engine == "dd") reading[key] = median
            else {
                all[key] = all[key] sprintf("%s%s: %.3f", all[key] ? ", " : "", substr(engine, 3), median)
                if (engine ~ /^0_/) first[key] = median
                if (!(key in best) || median < best[key]) best[key] = median
            }
            if (!(key in seen)) { seen[key] = 1; order[++keys] = key }
            n = 0
        }
        function ratio(a, b) { return a && b ? sprintf("%.2f", a / b) : "" }
        BEGIN {
            print "| model | file | rounds | generate, s | dd, s | ÷ dd | ÷ llama.cpp, default | ÷ its best | llama-completion, s |"
            print "|---|---|---:|---:|---:|---:|---:|---:|---|"
        }
        $1 != model || $2 != disk || $3 != engine { close_group(); model = $1; disk = $2; engine = $3 }
        { v[++n] = $4 }
        END {
            close_group()
            for (i = 1; i <= keys; i++) {
                k = order[i]; split(k, name, "\t"); variants = all[k]; gsub("_", " ", variants)
                printf "| %s | %s | %d | %.3f | %s | %s | %s | %s | %s |\n", name[1], name[2], runs[k], ours[k], \
                    reading[k] ? sprintf("%.3f", reading[k]) : "", ratio(ours[k], reading[k]), \
                    ratio(ours[k], first[k]), ratio(ours[k], best[k]), variants
            }
        }'
    rm -rf "$work"
}
trap report EXIT
trap 'exit 130' INT TERM

# The beginning of the text that has so many tokens in the model's vocabulary.
cut_prompt() {
    local length low=1 high=${#text} count
    while [ "$low" -lt "$high" ]; do
        length=$(((low + high + 1) / 2))
        printf %s "${text:0:length}" >"$work/prompt"
        count=$("$conform" tokenize --model "$1" --text-file "$work/prompt" --add-special | tr -cd , | wc -c)
        if [ $((count + 1)) -le "$tokens" ]; then low=$length; else high=$((length - 1)); fi
    done
    printf %s "${text:0:low}" >"$work/prompt"
    prompt=${text:0:low}
    count=$("$conform" tokenize --model "$1" --text-file "$work/prompt" --add-special | tr -cd , | wc -c)
    echo "$(basename "$1"): a prompt of $((count + 1)) tokens" >&2
}

drop() {
    sync "$1"
    dd if="$1" iflag=nocache count=0 status=none
}

# Starts a program on a model; records the seconds until it says something.
start() {
    local model=$1 disk=$2 engine=$3 begin end
    shift 3
    if [ "$disk" = cold ]; then drop "$model"; else cat "$model" >/dev/null; fi
    begin=$EPOCHREALTIME
    end=$("$@" </dev/null 2>"$work/said" | {
        LC_ALL=C IFS= read -r -N 1 _ && echo "$EPOCHREALTIME"
        cat >/dev/null
    }) || true
    if [ -z "$end" ]; then
        echo "$engine printed nothing: $(tail -n 1 "$work/said")" >&2
        return
    fi
    awk -v a="$begin" -v b="$end" -v key="$(basename "$model" .gguf) $disk ${engine// /_}" \
        'BEGIN { sub(",", ".", a); sub(",", ".", b); printf "%s %.6f\n", key, b - a }' >>"$figures"
}

for ((round = 1; round <= rounds; round++)); do
    for model in "$@"; do
        cut_prompt "$model"
        for disk in $disks; do
            echo "round $round of $rounds: $(basename "$model"), $disk" >&2
            if [ "$disk" = cold ]; then
                # A byte on stdout, as from the others, once all is read.
                # shellcheck disable=SC2016 # the inner shell expands it
                start "$model" "$disk" dd sh -c 'dd if="$0" of=/dev/null bs=1M status=none && echo' "$model"
            fi
            start "$model" "$disk" generate "$generate" --model "$model" --device cpu --threads "$threads" \
                --context 512 --max-tokens 1 --temperature 0 "$prompt"
            variant=0
            while IFS= read -r switch; do
                # shellcheck disable=SC2086 # switches are words
                start "$model" "$disk" "$variant $switch" "$llama" -m "$model" -t "$threads" -c 512 -n 1 --temp 0 \
                    -no-cnv --no-display-prompt $switch -p "$prompt"
                variant=$((variant + 1))
            done <<<"$switches"
        done
    done
done
