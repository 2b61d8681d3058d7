# Completion of mailfuse(1) for bash. The command itself knows what may follow.

_mailfuse() {
	local IFS=$'\n' words=() lines=() glue='' current before word i

	# Readline cuts words at = and : too; --state=held is one word for mailfuse.
	for ((i = 1; i <= COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ ${#words[@]} -gt 0 && (-n $glue || $word == [=:]*) ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
		[[ $word == *[=:] ]] && glue=1 || glue=
	done
	current=${words[-1]-}
	before=${current%"${current##*[=:]}"}
	COMPREPLY=()
	mapfile -t lines < <(command mailfuse complete "${words[@]}" 2>/dev/null)
	case ${lines[0]-} in
	:files | :dirs)
		compopt -o filenames 2>/dev/null
		[[ ${lines[0]} == :files ]] && i=-f || i=-d
		mapfile -t COMPREPLY < <(compgen "$i" -- "${current#"$before"}")
		;;
	*)
		for word in "${lines[@]}"; do
			word=${word%%$'\t'*}
			printf -v word %q "${word#"$before"}"
			COMPREPLY+=("$word")
		done
		;;
	esac
}
complete -F _mailfuse mailfuse
