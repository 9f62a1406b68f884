# PID 1 of a pod, run as `/bin/sh -c THIS qd ARGV...`. It needs sh, stty, mkdir and mkfifo, and
# head and base64 for what a task leaves in $QD_OUTPUT.
#
# A program can neither be waited for nor told of a TERM by a shell that runs it in the foreground, and one that runs it
# in the background hands it no terminal and an ignored interrupt. So it is started in the foreground by a shell whose
# parent, another shell, is killed at once: PID 1 is free again, waits for a reader of a FIFO (whose writer ends with the
# program), reaps what is orphaned, and passes TERM on.

_qd_log=${QD_TERMINATION_LOG-}
unset QD_TERMINATION_LOG
_qd_dir=${TMPDIR:-/tmp}/qd-$$
_qd_umask=$(umask)
_qd_line='
'

_qd_tell() { # the file is the kubelet's, or there is none
    if [ -n "$_qd_log" ] && [ -f "$_qd_log" ]; then printf '%s' "$1" >"$_qd_log"; fi
}

_qd_fail() { # KIND WHY CODE
    _qd_tell "{\"version\":1,\"$1\":\"$2\",\"code\":$3}"
    exit "$3"
}

_qd_start='
kill -9 "$PPID"
trap : HUP INT QUIT TERM
_qd_dir=$1 _qd_run=$2 _qd_in=$3
shift 3
exec 2>&4 4>&-
if [ -n "$_qd_in" ]; then
    /bin/sh -c "$_qd_run" "$0" "$_qd_dir" "$@" <"$_qd_in"
else
    /bin/sh -c "$_qd_run" "$0" "$_qd_dir" "$@"
fi
_qd_code=$?
echo "$_qd_code" >"$_qd_dir/code"
echo end >&8'

_qd_run='
_qd_dir=$1
if [ -n "$2" ]; then PATH=$2; export PATH; fi
shift 2
echo "$$" >&8
trap "echo failed >\"\$_qd_dir/exec\"" EXIT # most shells end there, some without a trap
[ -z "${BASH_VERSION-}" ] || shopt -s execfail
exec "$@" 8>&-
_qd_code=$?
echo failed >"$_qd_dir/exec"
exit "$_qd_code"'

trap '_qd_fail lost "stopped before it began" 143' TERM
trap : HUP INT QUIT
_qd_tty=
if [ -t 0 ]; then
    _qd_tty=1
    _qd_saved=$(stty -g) || _qd_fail launch "no stty" 127
    stty raw -echo || _qd_fail launch "no stty" 127 # it would be echoed
fi
(umask 077 && mkdir -p "$_qd_dir") && mkfifo -m 600 "$_qd_dir/alive" || _qd_fail launch "no place for files" 127

_qd_locale=${LC_ALL-} _qd_had_locale=${LC_ALL+1}
LC_ALL=C # what is read are bytes
printf '\033_qd;ready\033\\\n'
while IFS=' ' read -r _qd_word _qd_mark _qd_go || _qd_fail lost "its input ended" 1; do
    [ "$_qd_word" != "#" ] || continue
    case $_qd_word$_qd_go in
        GO*"#$_qd_mark") break ;;
    esac
    printf '\033_qd;ready\033\\\n' # whoever sent it died in the middle
done
_qd_in= _qd_program_path= _qd_cwd= _qd_cwd_needed= _qd_cols= _qd_rows=
eval "$_qd_go"
unset _qd_go
LC_ALL=$_qd_locale
[ -n "$_qd_had_locale" ] || unset LC_ALL
if [ -n "$_qd_cwd" ]; then
    cd "$_qd_cwd" 2>/dev/null || [ -z "$_qd_cwd_needed" ] || _qd_fail launch "no such directory" 127
fi
if [ -n "$_qd_tty" ]; then
    stty "$_qd_saved"
    stty sane
    [ -z "$_qd_cols" ] || stty cols "$_qd_cols" rows "$_qd_rows"
fi
printf '\033_qd;begin;%s\033\\\n' "$_qd_mark"

_qd_stop=
trap '_qd_stop=1' TERM
exec 4>&2 8<>"$_qd_dir/alive"
exec 2>/dev/null # a shell tells of children that were killed
/bin/sh -c '_qd_start=$1; shift; /bin/sh -c "$_qd_start" "$0" "$@"; :' \
    qd "$_qd_start" "$_qd_dir" "$_qd_run" "$_qd_in" "$_qd_program_path" "$@"
trap '' HUP INT QUIT # before there is a reader: bash lets its interrupt through
exec 2>&4 4>&-
_qd_pid=
until read -r _qd_pid <&8; do :; done # cut short by a TERM only
_qd_pass() { [ "$_qd_pid" = end ] || kill -TERM "$_qd_pid" 2>/dev/null; }
trap _qd_pass TERM
[ -z "$_qd_stop" ] || _qd_pass
(
    trap '' TERM
    exec 7<"$_qd_dir/alive" 8>&-
    read -r _qd_word <&7
) &
_qd_reader=$!
exec 8>&-
while kill -0 "$_qd_reader" 2>/dev/null; do wait "$_qd_reader"; done
trap : TERM

_qd_code=
read -r _qd_code 2>/dev/null <"$_qd_dir/code" || _qd_code=
printf '\033_qd;end;%s;%s;' "$_qd_mark" "$_qd_code"
if [ -f "$_qd_dir/output" ] && command -v base64 >/dev/null 2>&1; then
    head -c 65537 "$_qd_dir/output" | base64
fi
printf '\033\\\n'
case $_qd_code in
    '') _qd_fail lost "its shell was killed" 1 ;;
esac
if [ -f "$_qd_dir/exec" ]; then
    case $_qd_code in
        126) _qd_fail launch "not executable" 126 ;;
        *) _qd_fail launch "not found" 127 ;;
    esac
fi
if [ "$_qd_code" -gt 128 ] && [ "$_qd_code" -le 192 ]; then
    _qd_tell "{\"version\":1,\"code\":$_qd_code,\"signal\":$((_qd_code - 128))}"
else
    _qd_tell "{\"version\":1,\"code\":$_qd_code}"
fi
exit "$_qd_code"
