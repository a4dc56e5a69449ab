#!/bin/sh
# mta_unpack.sh NAME DIRECTORY
#
# Makes DIRECTORY/NAME, a root directory (for chroot) with one mail program
# in it: an MTA or a program that only sends. The packages are downloaded and
# unpacked, never installed: on Debian each MTA removes the others, and who
# runs this has one. No network is used when the directory is there already.
set -eu

name=$1
top=$2
root=$top/$name
users="root:0 daemon:1 mail:8 nobody:65534"
case $name in
postfix)
	debs="postfix libdb5.3 libicu72 libnsl2 libsasl2-2"
	users="$users postfix:901 postdrop:902" ;;
exim)
	# The light one is built without PROXY.
	debs="exim4-daemon-heavy exim4-base libdb5.3 libidn12 libnsl2
	    libgnutls-dane0 libunbound8 libmariadb3 libspf2-2 libpq5
	    libldap-2.5-0 libsasl2-2 libperl5.36 libsqlite3-0"
	users="$users Debian-exim:903" ;;
opensmtpd)
	debs="opensmtpd libdb5.3 libevent-2.1-7"
	users="$users opensmtpd:904 opensmtpq:905" ;;
msmtp)
	debs="msmtp libidn12 libgsasl18 libgssglue1 libntlm0 libsecret-1-0" ;;
sendmail)
	debs="sendmail-bin sendmail-base sendmail-cf m4 libdb5.3 liblockfile1
	    libnsl2 libsasl2-2 libsigsegv2 libwrap0 libldap-2.5-0"
	users="$users smmta:906 smmsp:907" ;;
dma)
	debs="dma" ;;
nullmailer)
	debs="nullmailer" ;;
ssmtp)
	debs="ssmtp libgnutls-openssl27" ;;
esmtp)
	debs="esmtp libesmtp6" ;;
s-nail)
	debs="s-nail libidn12" ;;
phpmailer)
	debs="php8.2-cli php8.2-common libphp-phpmailer libargon2-1
	    libsodium23" ;;
rspamd)
	debs="rspamd libglib2.0-0 libhyperscan5 libicu72 libluajit2-5.1-2
	    libluajit-5.1-2 libpcre2-8-0 libsodium23 libsqlite3-0 libunwind8"
	users="$users _rspamd:908" ;;
nodemailer)
	debs="node-nodemailer" ;;
*)
	echo "mta_unpack.sh: $name is not known" >&2
	exit 2 ;;
esac
mkdir -p "$top"
exec 9>"$top/$name.lock"
flock 9
test -e "$root/complete" && exit 0

# What was unpacked before may be half a root; begin anew, beside it.
part=$root.part$$
trap 'rm -rf "$part"' EXIT
mkdir -p "$part/debs"
# shellcheck disable=SC2086 # a list
(cd "$part/debs" && apt-get -q download $debs)
for deb in "$part"/debs/*.deb; do
	dpkg -x "$deb" "$part"
done
rm -r "$part/debs"
mkdir -p "$part/etc" "$part/dev" "$part/proc" "$part/tmp" "$part/var/tmp" \
	"$part/var/mail" "$part/var/log" "$part/run" "$part/root"
chmod 1777 "$part/tmp" "$part/var/tmp" "$part/var/mail"
rm -rf "$part/var/run"
ln -s ../run "$part/var/run"

# The libraries that the packages themselves need are the host's.
multiarch=$(gcc -print-multiarch 2>/dev/null ||
	dpkg-architecture -qDEB_HOST_MULTIARCH)
LD_LIBRARY_PATH=$part/usr/lib/$multiarch:$part/lib/$multiarch
LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$part/usr/lib:$part/usr/lib/postfix
LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$part/usr/lib/rspamd
export LD_LIBRARY_PATH
find "$part" -type f \( -perm -100 -o -name '*.so*' \) -exec ldd {} + \
	>"$part/ldd" 2>/dev/null || true # ldd dislikes scripts
ldd /bin/sh >>"$part/ldd"
if grep 'not found' "$part/ldd" >&2; then
	exit 1
fi
sed -n 's/^.* => \(\/[^ ]*\) .*/\1/p
	    s/^[[:space:]]*\(\/[^ ]*\) .*/\1/p' "$part/ldd" | sort -u |
while read -r library; do
	case $library in "$part"/*) continue ;; esac
	test -e "$part$library" && continue
	mkdir -p "$part$(dirname "$library")"
	cp -L "$library" "$part$library"
done

mkdir -p "$part/bin"
cp -L /bin/sh "$part/bin/sh" # OpenSMTPD delivers through it
for user in $users; do
	id=${user#*:}
	echo "${user%:*}:x:$id:$id::/:/bin/false" >>"$part/etc/passwd"
	echo "${user%:*}:x:$id:" >>"$part/etc/group"
done
echo '127.0.0.1 localhost mta.example' >"$part/etc/hosts"
echo 'hosts: files' >"$part/etc/nsswitch.conf"
echo mta.example >"$part/etc/mailname"
printf 'smtp 25/tcp\nsmtps 465/tcp\n' >"$part/etc/services"
: >"$part/etc/resolv.conf"
for device in null:3 zero:5 random:8 urandom:9; do
	mknod -m 666 "$part/dev/${device%:*}" c 1 "${device#*:}"
done
: >"$part/complete"
rm -rf "$root"
mv "$part" "$root"
trap - EXIT
