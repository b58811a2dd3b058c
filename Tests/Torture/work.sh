# Arithmetic, arrays, patterns, functions, pipes, traps.
declare -A count
fib() { if (($1 < 2)); then REPLY=$1; else fib $(($1 - 1)); local a=$REPLY; fib $(($1 - 2)); REPLY=$((a + REPLY)); fi; }
trap 'echo leaving $?' EXIT
for ((i = 0; i < 1500; i++)); do
    word="w$((i * i % 97))"
    ((count[$word]++))
    [[ $word == w?([1-5])[0-9] ]] && ((matched++))
done
fib 13
echo "$REPLY ${#count[@]} $matched ${word/w/v} ${word^^}"
for key in "${!count[@]}"; do echo "$key ${count[$key]}"; done | sort | tail -n 3
printf '%s\n' {1..200} | while read -r n; do ((n % 50)) || echo "$n"; done
(exit 5) || echo "status $?"
exit 3
