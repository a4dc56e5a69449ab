#!/bin/sh
# Installs the Debian packages that are missing. Called as
#   tools/deps.sh build [run] [test] [bench]
# Says nothing and touches no network where all is there. No daemon of the
# distribution is started, and no MTA is ever installed: this machine may run
# one.
set -eu

build='make gcc libc6-dev pkg-config xxd libuv1-dev libinih-dev
	libmicrohttpd-dev libjansson-dev libxxhash-dev libcap-ng-dev
	libpcap-dev libsqlite3-dev libssl-dev libc-ares-dev
	libpsl-dev libmaxminddb-dev libncurses-dev gzip libjs-dygraphs'
run='swaks'
test='chromium chromium-driver clang clang-format cppcheck curl faketime iproute2 libclang-rt-14-dev
	libcmocka-dev libglib2.0-0 liblwip-dev libnet-ssleay-perl mandoc nftables
	libio-socket-ssl-perl nodejs openssl p0f perl procps rbldnsd python3 python3-prometheus-client python3-pytest python3-scapy python3-selenium python3-yaml rspamd shellcheck
	strace tcpdump util-linux valgrind'
bench='haproxy libnginx-mod-mail libnginx-mod-stream nginx'

wanted=
for set in "$@"; do
	case $set in
	build) wanted="$wanted $build" ;;
	run) wanted="$wanted $run" ;;
	test) wanted="$wanted $test" ;;
	bench) wanted="$wanted $bench" ;;
	*)
		echo "usage: tools/deps.sh build [run] [test] [bench]" >&2
		exit 2
		;;
	esac
done

if ! command -v dpkg-query >/dev/null; then
	echo "tools/deps.sh: not a Debian system; what is needed, by Debian's" \
		"names:" $wanted >&2
	exit 0
fi

missing=
for package in $wanted; do
	state=$(dpkg-query -W -f '${db:Status-Status}' "$package" \
		2>/dev/null) || state=
	[ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "tools/deps.sh: not root and there is no sudo; as root:" \
			"apt-get install$missing" >&2
		exit 1
	fi
	as_root=sudo
fi

# Debian starts daemons when it installs them, unless this file says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	# The trap runs in the end, whatever happens in between.
	trap '$as_root rm -f "$policy"' EXIT
	trap 'exit 130' INT TERM
	printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
	$as_root chmod 755 "$policy"
fi

install() {
	# shellcheck disable=SC2086 # a list
	$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
		--no-install-recommends $missing
}

# The lists of packages may be missing or old.
install || { $as_root apt-get update -q && install; }
