#!/usr/bin/env bash
# Compares `bench` with llama.cpp's llama-bench in one interleaved run.
#
#   benches/compare.sh LLAMA_BENCH MODEL.gguf...
#
# Every round runs both programs on every model, one right after the other, so
# that whatever else the machine does meets both. llama-bench runs once for each
# of the switches below and the best of their medians counts. Prints medians
# over the rounds when it ends, also when it is interrupted.
#
# Settings: BENCH (target/release/bench), ROUNDS (5), PROMPT (512), GEN (128),
# DEPTH (0), THREADS (the default of bench), SWITCHES (one variant a line).
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,13s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
llama_bench=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
bench=${BENCH:-$here/../target/release/bench}
rounds=${ROUNDS:-5} prompt=${PROMPT:-512} gen=${GEN:-128} depth=${DEPTH:-0}
switches=${SWITCHES:-"--repack 1
--repack 0"}
for program in "$bench" "$llama_bench"; do
    [ -x "$program" ] || { echo "$program: not a program" >&2; exit 1; }
done

figures=$(mktemp)
report() {
    # model, test, engine -> median; then one line for each model and test.
    sort -k1,1 -k2,2 -k3,3 -k4,4g "$figures" | awk '
        function close_group() {
            if (!n) return
            median = (v[int((n + 1) / 2)] + v[int(n / 2) + 1]) / 2
            key = model "\t" test
            if (engine == "ours") { ours[key] = median; share[key] = s[int((n + 1) / 2)]; runs[key] = n }
            else if (median > theirs[key]) { theirs[key] = median; with[key] = engine }
            if (!(key in seen)) { seen[key] = 1; order[++keys] = key }
            n = 0
        }
        BEGIN {
            print "| model | test | rounds | bench, tokens/s | % of limit | llama-bench, tokens/s | its switches | ratio |"
            print "|---|---|---:|---:|---:|---:|---|---:|"
        }
        $1 != model || $2 != test || $3 != engine { close_group(); model = $1; test = $2; engine = $3 }
        { n++; v[n] = $4; s[n] = $5 }
        END {
            close_group()
            for (i = 1; i <= keys; i++) {
                k = order[i]; split(k, name, "\t"); switches = with[k]; gsub("_", " ", switches)
                printf "| %s | %s | %d | %.2f | %s | %.2f | %s | %s |\n", name[1], name[2], runs[k], ours[k], \
                    share[k], theirs[k], switches, theirs[k] ? sprintf("%.2f", ours[k] / theirs[k]) : ""
            }
        }'
    rm -f "$figures"
}
trap report EXIT
trap 'exit 130' INT TERM

for ((round = 1; round <= rounds; round++)); do
    for model in "$@"; do
        name=$(basename "$model" .gguf)
        echo "round $round of $rounds: $name" >&2
        "$bench" --model "$model" --prompt-tokens "$prompt" --gen-tokens "$gen" --depth "$depth" \
            ${THREADS:+--threads "$THREADS"} --repetitions 1 --limits --output csv |
            awk -F, -v model="$name" 'NR > 1 && NF > 11 { print model, $6, "ours", $7, $12 }' >>"$figures"
        while IFS= read -r switch; do
            # shellcheck disable=SC2086 # a switch and its value are two words
            "$llama_bench" -m "$model" -p "$prompt" -n "$gen" -d "$depth" \
                ${THREADS:+-t "$THREADS"} -r 1 -o md $switch 2>/dev/null |
                awk -F'|' -v model="$name" -v engine="${switch// /_}" -v depth="$depth" '
                    NF < 5 { next }
                    { test = $(NF - 2); speed = $(NF - 1); gsub(" ", "", test) }
                    test ~ /^(pp|tg)[0-9]+/ {
                        split(speed, part, " "); sub("@.*", "", test)
                        print model, test (depth > 0 ? "@d" depth : ""), engine, part[1], "-"
                    }' >>"$figures"
        done <<<"$switches"
    done
done
