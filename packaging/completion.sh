#!/usr/bin/env bash
# Completes in each shell with the scripts that the package installed. Needs bash, zsh and fish.
set -euo pipefail

check() { # check SHELL LINE WANT GOT
	[[ " $4 " == *[[:space:]]"$3"[[:space:]]* ]] && return
	echo "$1: $2 completes to '$4', want $3"
	exit 1
}

while IFS=: read -r line want; do
	check bash "$line" "$want" "$(bash --norc -c 'source /usr/share/bash-completion/completions/spoold
		read -ra COMP_WORDS <<<"$1"; COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _spoold; echo "${COMPREPLY[*]}"' - "$line")"
	check fish "$line" "$want" "$(fish --no-config -c 'source /usr/share/fish/vendor_completions.d/spoold.fish; complete -C $argv[1]' "$line")"
	# zsh completes in a terminal only: here the function is called as it would be, and what it offers is printed.
	check zsh "$line" "$want" "$(zsh -f -c 'compdef() { }; _files() { }; _describe() { print -l -- ${${(P)2}%%:*} }
		source /usr/share/zsh/vendor-completions/_spoold; words=(${=1}); CURRENT=$#words; _spoold' - "$line")"
done <<'LINES'
spoold pro:produce
spoold ship --multi:--multiline-start
spoold config pr:print
spoold txn res:resolve
LINES
echo 'completion: passed'
