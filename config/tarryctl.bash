# Completion of tarryctl for bash. The verbs and options are those that
# tarryctl itself prints, so that there is no second list of them.

_tarryctl()
{
	local word=${COMP_WORDS[COMP_CWORD]} last=${COMP_WORDS[COMP_CWORD-1]}
	local help i verb="" skip="" behind=-1 words

	case $last in
	-s | --socket | -c | --config | --rules | --against | signature | simulate | \
		replay | lint)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	esac
	help=$("${COMP_WORDS[0]}" --help 2>/dev/null) || return
	if [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(printf '%s\n' "$help" |
			grep -oE '^  [- ][a-zA-Z ].*' | grep -oE -- \
			'--[a-z]+|^  -[a-zA-Z]')" -- "$word")
		return
	fi
	for ((i = 1; i < COMP_CWORD; i++)); do
		if [[ -n $skip ]]; then
			skip=
		elif [[ ${COMP_WORDS[i]} == -[sc] ||
			${COMP_WORDS[i]} == --socket ||
			${COMP_WORDS[i]} == --config ||
			${COMP_WORDS[i]} == --rules ||
			${COMP_WORDS[i]} == --against ]]; then
			skip=yes
		elif [[ ${COMP_WORDS[i]} != -* ]]; then
			verb=${verb:-${COMP_WORDS[i]}}
			behind=$((behind + 1))
		fi
	done
	if [[ -n $verb ]]; then
		# Of "[WHO good|bad [TIME]]" the words in small letters are said
		# as they stand.
		read -ra words < <(printf '%s\n' "$help" |
			sed -n "s/^  $verb //p" | tr -d '[]')
		mapfile -t COMPREPLY < <(compgen -W "$(
			tr '|' '\n' <<<"${words[behind]-}" | grep -x '[a-z]*'
		)" -- "$word")
		return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$(printf '%s\n' "$help" |
		grep -oE '^  [a-z]+' | tr -d ' ')" -- "$word")
}

complete -F _tarryctl tarryctl
