# Runs inside the virtual machine, in the folder of the objects. Parts begin with "== NAME". Nothing waits for a fixed time where
# something can be waited for: the machine under this one may have other things to do.

# Waits until a command succeeds, five minutes at most.
await() {
    end=$(($(date +%s) + 300))
    until "$@"; do
        [ "$(date +%s)" -lt $end ] || return 1
        sleep 0.1
    done
}

links() { bpftool link list | sed -n 's/.*attach_type //p' | sed 's/trace_fentry/24/; s/trace_fexit/25/' | tr -d ' '; }
has_links() { [ "$(bpftool link list | grep -c '^[0-9]')" -ge "$1" ]; }
has_lines() { [ "$(grep -c "$2" "$3")" -ge "$1" ]; }
# A session is one link, or two where it is split.
case $(uname -r) in 6.*) session=2 ;; *) session=1 ;; esac

# What there is of BPF in the kernel, of whomever; some of it goes a moment later.
count() { ./kernel-checks count; }
empty=$(count)
is_empty() { [ "$(count)" = "$empty" ]; }
left() { await is_empty && echo nothing || count; }

# Ends the fsession of that process id; adds its status to the file of its lines.
finish() {
    kill -TERM "$1"
    wait "$1"
    echo "status $?" >>"$2"
}
ping_once() { ping -c 1 -W 60 127.0.0.1 >/dev/null; }

./kernel-checks

echo "== structures"
./generate-linux-bpf /sys/kernel/btf/vmlinux "$(uname -r | cut -d . -f 1,2)" Structures+Generated.swift
echo "status $?"

left >/dev/null
for program in entry_exit cookie; do
    fsession run $program.bpf.o >out 2>&1 &
    await has_links $session
    echo "== links of $program"
    links
    ping_once
    await has_lines 2 'fsession \(exit\|cookie\)' out
    finish $! out
    echo "== $program"
    cat out
done
echo "== left after interrupt"
left

fsession run cookie.bpf.o >out 2>&1 &
await has_links $session
echo "== links before kill"
links
kill -9 $!
wait $!
echo "== left after kill"
left

# Many functions, killed while they are being attached, and while they are traced.
for links in 1 settled; do
    fsession trace 'kernel:icmp_*' 'kernel:ping_*' >out 2>&1 &
    await has_links 1
    before=
    until [ $links = 1 ] || [ "$(links)" = "$before" ]; do
        before=$(links)
        sleep 2
    done
    kill -9 $!
    wait $!
done
echo "== left after many were killed"
left
fsession trace 'kernel:tcp_v4_*' >out 2>&1 &
is_begun() { ! is_empty; }
await is_begun
kill -TERM $!
wait $!
echo "== left after attaching was interrupted"
left

fsession trace kernel:icmp_rcv >out 2>&1 &
await has_links $session
ping_once
await has_lines 2 'icmp_rcv(' out
finish $! out
echo "== trace"
cat out

insmod /modules/dummy.ko numdummies=1
ip addr add 10.9.9.1/24 dev dummy0
ip link set dummy0 up
fsession trace dummy:dummy_xmit >out 2>&1 &
await has_links $session
ping -c 1 -W 1 10.9.9.2 >/dev/null
await has_lines 1 'dummy_xmit(' out
finish $! out
echo "== trace of a module"
cat out

bpftool prog load classify.bpf.o /sys/fs/bpf/classify
head -c 64 /dev/zero >packet
classify() { bpftool prog run pinned /sys/fs/bpf/classify data_in packet >/dev/null; }
fsession run at_program.bpf.o >out 2>&1 &
await has_links $session
classify
await has_lines 1 'classify returned' out
finish $! out
echo "== session at a program"
cat out

# Two sessions and a program that is not ours print at once.
echo >/sys/kernel/tracing/trace
fsession run cookie.bpf.o >out 2>&1 &
first=$!
await has_links $session
fsession run entry_exit.bpf.o >other 2>&1 &
second=$!
await has_links $((2 * session))
classify
ping_once
classify
await has_lines 2 cookie out
await has_lines 2 exit other
finish $first out
finish $second other
echo "== cookie beside others"
cat out
echo "== entry_exit beside others"
cat other
echo "== what the others printed"
grep -c 'a classifier runs' /sys/kernel/tracing/trace
grep -c 'fsession' /sys/kernel/tracing/trace
rm /sys/fs/bpf/classify

echo "== doctor"
fsession doctor
echo "status $?"

refused() {
    echo "== $1"
    shift
    "$@" 2>&1
    echo "status $?"
}
refused "unknown function" fsession trace kernel:icmp_rcvv
refused "unknown module" fsession trace 'nosuch*:f'
refused "rejected" fsession run --program answers_session answers.bpf.o
refused "no return" fsession run --program session_exit sleep.bpf.o
refused "unknown helper" fsession run --program calls_unknown_helper bad.bpf.o
refused "other helper" fsession run --program calls_other_helper bad.bpf.o
refused "not traceable" fsession run --program not_traceable bad.bpf.o
refused "needed by programs" fsession trace kernel:__rcu_read_lock
refused "of no type" fsession trace kernel:entry_SYSCALL_64
refused "many of that name" fsession trace kernel:type_show
refused "unknown kfunc" fsession run kfunc.bpf.o
refused "kfunc of a newer kernel" fsession run --duration 1 newer_kfunc.bpf.o
refused "kfunc of a module that is not loaded" fsession run --program calls_kfunc module_kfunc.bpf.o
insmod /modules/tcp_bbr.ko
refused "kfunc of a module" fsession run --program calls_kfunc module_kfunc.bpf.o
refused "no such object" fsession run nowhere.bpf.o
refused "no program of that name" fsession run --program nobody bad.bpf.o
refused "a section of a newer kernel" fsession run --program of_a_newer_kernel --duration 1 bad.bpf.o
mount -t tmpfs none /sys/kernel/btf
refused "no types" fsession run cookie.bpf.o
echo nothing >/sys/kernel/btf/vmlinux
refused "spoilt types" fsession run cookie.bpf.o
umount /sys/kernel/btf
chmod 755 /work
as_nobody() { su nobody -c "LD_LIBRARY_PATH=/lib fsession run /work/cookie.bpf.o"; }
refused "no permission" as_nobody
# Whoever may use bpf(2) without being root may still not attach to the kernel.
echo 0 >/proc/sys/kernel/unprivileged_bpf_disabled
refused "no capability" as_nobody
echo "== left after bad input"
left

# For the rest of this machine's life.
echo confidentiality >/sys/kernel/security/lockdown
refused "locked down" fsession run --program at_kprobe kinds.bpf.o
refused "locked down, many functions" fsession run --program at_multi kinds.bpf.o
fsession run cookie.bpf.o >out 2>&1 &
await has_links $session
ping_once
await has_lines 2 cookie out
finish $! out
echo "== cookie while locked down"
cat out
echo "== left after lockdown"
left
echo "== end"
