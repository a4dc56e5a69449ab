#!/usr/bin/env bash
# `make run`: Tarry in the foreground, in front of MTA=host:port, or in front
# of tarry-sink, which keeps mail in files, where none is given. Everything it
# starts ends with it; everything it writes is in one directory that it names.
set -u
cd "$(dirname "$0")/.." || exit 1

build=${BUILD:-build}
listen=${LISTEN:-127.0.0.1:2500}
mta=${MTA:-}
mode=${MODE:-enforce}
http=${HTTP:-127.0.0.1:9925}
user=nobody
pids=()

say() {
	printf '%s\n' "$*"
}

# Ends what was started, newest first, and waits until it has ended.
stop() {
	trap '' INT TERM
	for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
		kill "${pids[i]}" 2>/dev/null
		wait "${pids[i]}" 2>/dev/null
	done
}

give_up() {
	say "" "$@" >&2
	exit 1
}

trap stop EXIT
trap 'exit 0' INT TERM

dir=$(mktemp -d "${TMPDIR:-/tmp}/tarry-run.XXXXXX") || exit 1
mail=$dir/mail
mkdir "$mail"
as_user=()
if [ "$(id -u)" -eq 0 ]; then
	chmod 755 "$dir"
	chown "$user" "$dir" "$mail"
	as_user=(setpriv --reuid "$user" --regid nogroup --clear-groups)
fi

# Waits until a file has a line that matches; the process must live.
wait_for() { # file pattern pid
	for _ in $(seq 100); do
		grep -q "$2" "$1" 2>/dev/null && return 0
		kill -0 "$3" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

start_sink() {
	"${as_user[@]}" "$build/tarry-sink" -l 127.0.0.1:0 -d "$mail" \
		>"$dir/sink.log" 2>&1 &
	pids+=($!)
	wait_for "$dir/sink.log" 'listening on' "${pids[-1]}" ||
		give_up "tarry-sink did not start:" "$(cat "$dir/sink.log")"
	mta=$(sed -n 's/.*listening on \([^,]*\),.*/\1/p' "$dir/sink.log")
}

start_sidecar() {
	if [ "$(id -u)" -ne 0 ]; then
		say "not root: no tarry-sidecar, signatures come from the" \
			"kernel's copy of the SYN"
		return
	fi
	"$build/tarry-sidecar" -p "${listen##*:}" -s "$dir/syn.sock" \
		-u "$user" >"$dir/sidecar.log" 2>&1 &
	pids+=($!)
	for _ in $(seq 50); do
		[ -S "$dir/syn.sock" ] && return
		kill -0 "${pids[-1]}" 2>/dev/null || break
		sleep 0.1
	done
	say "tarry-sidecar does not run ($(tail -n 1 "$dir/sidecar.log"));" \
		"signatures come from the kernel's copy of the SYN"
}

# The shipped file, with what differs here.
write_config() {
	sed -e "/^\[tarry\]/,/^\[listen/ s|^mode *=.*|mode = $mode|" \
		-e 's|^drain_timeout *=.*|drain_timeout = 5s|' \
		-e "s|^sidecar *=.*|sidecar = $dir/syn.sock|" \
		-e "s|^labels *=.*|labels = $PWD/config/signatures.ini|" \
		-e "/^\[http\]/,/^\[log\]/ s|^address *=.*|address = $http|" \
		config/tarry.ini >"$dir/tarry.ini"
}

start_tarryd() {
	"$build/tarryd" -c "$dir/tarry.ini" -l "$listen" "$mta" \
		2> >(exec tee "$dir/tarryd.log" >&2) &
	pids+=($!)
	wait_for "$dir/tarryd.log" 'passed the test session\|MTA.*level=error\|level=error.*MTA' \
		"${pids[-1]}" && return
	kill -0 "${pids[-1]}" 2>/dev/null && return
	wait "${pids[-1]}"
	case $? in
	1) give_up "The configuration was refused; the lines above say why." ;;
	*)
		if grep -q 'address already in use' "$dir/tarryd.log"; then
			give_up "A port is in use (the lines above say which):" \
				"choose others, as in" \
				"make run LISTEN=127.0.0.1:2600 HTTP=127.0.0.1:9926"
		fi
		give_up "tarryd did not start; the lines above say why."
		;;
	esac
}

write_config
[ -n "$mta" ] || start_sink
"$build/tarryd" -t -c "$dir/tarry.ini" -l "$listen" "$mta" >/dev/null ||
	give_up "The configuration was refused; the lines above say why."
start_sidecar
start_tarryd

host=${listen%:*}
[ "$host" = 0.0.0.0 ] && host=127.0.0.1
say ""
say "Tarry listens on $listen and relays to $mta"
[ -d "$mail" ] && [ -f "$dir/sink.log" ] && say "  mail is kept in   $mail"
say "  dashboard         http://$http/ (numbers: /metrics, ready: /readyz)"
say "  try it            swaks --server $host:${listen##*:} --from you@a.example --to me@b.example"
say "  files of this run $dir"
say "  stop it           Ctrl-C"
say ""
wait "${pids[-1]}"
