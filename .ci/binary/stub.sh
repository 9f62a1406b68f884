#!/bin/sh
# Quarterdeck @VERSION@ for @PLATFORM@: this script, then a compressed archive of the program.
# The archive is unpacked once, into the first of these that will do, and started from there ever after:
#   $QD_CACHE_DIR (only there, when it is set), $XDG_CACHE_HOME/quarterdeck or ~/.cache/quarterdeck,
#   $TMPDIR/quarterdeck-UID, /var/tmp/quarterdeck-UID, /tmp/quarterdeck-UID
# POSIX sh only; every name begins with _qd, because assigning to a variable of the caller's would change it for its
# children.

_qd_name=@NAME@
_qd_why=

# Call "$1" with each directory until it succeeds; _qd_base is the one.
_qd_each() {
  if [ -n "${QD_CACHE_DIR-}" ]; then
    _qd_base=$QD_CACHE_DIR && "$1" "$_qd_base"
    return
  fi
  case ${XDG_CACHE_HOME-} in
    /*) _qd_base=$XDG_CACHE_HOME/quarterdeck && "$1" "$_qd_base" && return ;;
    *) case ${HOME-} in /*) _qd_base=$HOME/.cache/quarterdeck && "$1" "$_qd_base" && return ;; esac ;;
  esac
  _qd_user=${_qd_user:-$(id -u)}
  case ${TMPDIR-} in /*) _qd_base=$TMPDIR/quarterdeck-$_qd_user && "$1" "$_qd_base" && return ;; esac
  _qd_base=/var/tmp/quarterdeck-$_qd_user && "$1" "$_qd_base" && return
  _qd_base=/tmp/quarterdeck-$_qd_user && "$1" "$_qd_base"
}

# Nobody but this user may have put something there.
_qd_ours() {
  [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] || return 1
}

_qd_unpacked() {
  _qd_ours "$1" && [ -f "$1/$_qd_name/complete" ] && [ -x "$1/$_qd_name/qd" ]
}

_qd_unpack() {
  _qd_said=$(_qd_try "$1" 2>&1) && return
  _qd_why="$_qd_why
    $1: ${_qd_said:-cannot be used}"
  return 1
}

# In a process of its own: umask and traps end with it. Prints what is wrong.
_qd_try() (
  umask 077
  mkdir -p "$1" || exit 1
  _qd_ours "$1" || { echo "not a directory of this user"; exit 1; }
  case $(ls -ldn "$1") in
    d????-??-*) ;;
    *) echo "others may write to it"; exit 1 ;;
  esac
  _qd_new=
  trap '[ -z "$_qd_new" ] || rm -rf "$_qd_new"' EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  _qd_new=$(mktemp -d "$1/.new-XXXXXXXX") || exit 1
  printf '#!/bin/sh\nexit 0\n' > "$_qd_new/probe" && chmod 700 "$_qd_new/probe" || exit 1
  "$_qd_new/probe" 2>/dev/null || { echo "programs cannot be started there (mounted noexec?)"; exit 1; }
  rm -f "$_qd_new/probe"
  _qd_said=$({ tail -c +@OFFSET@ "$_qd_self" | gzip -dc | tar -xof - -C "$_qd_new"; } 2>&1)
  # the archive's last member; tar alone knows nothing of a gzip that was killed
  if [ $? -ne 0 ] || [ ! -f "$_qd_new/complete" ]; then
    echo "unpacking failed, it needs @NEEDS@ MB of free space there: ${_qd_said%%
*}"
    exit 1
  fi
  "$_qd_new/qd" _settle "$_qd_new" "$1/$_qd_name" < /dev/null
)

_qd_fail() {
  printf 'qd: %s\n' "$1" >&2
  exit 126
}

case $0 in
  /*) _qd_self=$0 ;;
  *) _qd_self=$PWD/$0 ;;
esac
if ! _qd_each _qd_unpacked; then
  if [ "$(tail -c +@OFFSET@ "$_qd_self" | cksum)" != "@SUM@ @SIZE@" ]; then
    _qd_fail "this file is damaged or cut short, get it again: $_qd_self"
  fi
  # traps here too, so that this shell outlives the one that cleans up
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  _qd_each _qd_unpack || _qd_fail "this file unpacks itself once, but nowhere it may:$_qd_why
    set QD_CACHE_DIR to a directory of yours in which programs may be started"
fi
QD_EXECUTABLE=$_qd_self
export QD_EXECUTABLE
exec "$_qd_base/$_qd_name/qd" "$@"
