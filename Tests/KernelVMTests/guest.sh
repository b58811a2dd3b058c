# Runs inside the virtual machine, in the folder of the objects. Parts begin with "== NAME".
links() { bpftool link list | sed -n 's/.*attach_type //p' | sed 's/trace_fentry/24/; s/trace_fexit/25/' | tr -d ' '; }
attached() {
    n=0
    until [ -n "$(bpftool link list)" ] || [ $n = 100 ]; do
        sleep 0.2
        n=$((n + 1))
    done
    # Of a split session the first link was seen; the second one follows.
    sleep 2
}

# What there is of BPF in the kernel, of whomever; some of it goes a moment later.
count() { ./kernel-checks count; }
empty=$(count)

./kernel-checks

left() {
    n=0
    until [ "$(count)" = "$empty" ] || [ $n = 100 ]; do
        sleep 0.2
        n=$((n + 1))
    done
    [ "$(count)" = "$empty" ] && echo nothing || count
}

left >/dev/null
for program in entry_exit cookie; do
    fsession run $program.bpf.o >out 2>&1 &
    attached
    echo "== links of $program"
    links
    ping -c 1 127.0.0.1 >/dev/null
    sleep 1
    kill -TERM %1
    wait %1
    echo "status $?" >>out
    echo "== $program"
    cat out
done
echo "== left after interrupt"
left

fsession run cookie.bpf.o >out 2>&1 &
attached
echo "== links before kill"
links
kill -9 %1
wait %1
echo "== left after kill"
left

# Many functions, killed while they are traced, and while they are being attached.
for wait in 3 0.5; do
    fsession trace 'kernel:icmp_*' 'kernel:ping_*' >out 2>&1 &
    attached
    [ $wait = 3 ] || sleep $wait
    kill -9 %1
    wait %1
done
echo "== left after many were killed"
left
fsession trace 'kernel:tcp_v4_*' >out 2>&1 &
n=0
until [ "$(count)" != "$empty" ] || [ $n = 100 ]; do
    sleep 0.1
    n=$((n + 1))
done
kill -TERM %1
wait %1
echo "== left after attaching was interrupted"
left

fsession trace kernel:icmp_rcv >out 2>&1 &
attached
ping -c 1 127.0.0.1 >/dev/null
sleep 1
kill -TERM %1
wait %1
echo "== trace"
cat out

insmod /modules/dummy.ko numdummies=1
ip addr add 10.9.9.1/24 dev dummy0
ip link set dummy0 up
fsession trace dummy:dummy_xmit >out 2>&1 &
attached
ping -c 1 -W 1 10.9.9.2 >/dev/null
kill -TERM %1
wait %1
echo "== trace of a module"
cat out

bpftool prog load classify.bpf.o /sys/fs/bpf/classify
fsession run at_program.bpf.o >out 2>&1 &
attached
head -c 64 /dev/zero >packet
bpftool prog run pinned /sys/fs/bpf/classify data_in packet >/dev/null
sleep 1
kill -TERM %1
wait %1
echo "== session at a program"
cat out
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
refused "unknown kfunc" fsession run kfunc.bpf.o
refused "no such object" fsession run nowhere.bpf.o
refused "no program of that name" fsession run --program nobody bad.bpf.o
refused "a section of a newer kernel" fsession run --program of_a_newer_kernel --duration 1 bad.bpf.o
mount -t tmpfs none /sys/kernel/btf
refused "no types" fsession run cookie.bpf.o
umount /sys/kernel/btf
echo "== no permission"
chmod 755 /work
su nobody -c 'LD_LIBRARY_PATH=/lib fsession run /work/cookie.bpf.o' 2>&1
echo "status $?"
echo "== left after bad input"
left
echo "== end"
