// What the kernel was configured with.
#include "fsession.bpf.h"

char LICENSE[] SEC("license") = "GPL";

extern int LINUX_KERNEL_VERSION __kconfig;
extern bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern bool LINUX_HAS_BPF_COOKIE __kconfig;
extern bool CONFIG_FSESSION_YES __kconfig;
extern enum libbpf_tristate CONFIG_FSESSION_MODULE __kconfig;
extern int CONFIG_FSESSION_NUMBER __kconfig;
extern char CONFIG_FSESSION_TEXT[8] __kconfig;
extern int CONFIG_FSESSION_ABSENT __kconfig __weak;

u64 version, wrapped, cookies, yes, module, number, text, absent = 7;

SEC("fentry/bpf_fentry_test3")
int configured(void *ctx)
{
    version = LINUX_KERNEL_VERSION;
    wrapped = LINUX_HAS_SYSCALL_WRAPPER;
    cookies = LINUX_HAS_BPF_COOKIE;
    yes = CONFIG_FSESSION_YES;
    module = CONFIG_FSESSION_MODULE;
    number = CONFIG_FSESSION_NUMBER;
    text = CONFIG_FSESSION_TEXT[0] | CONFIG_FSESSION_TEXT[1] << 8 | CONFIG_FSESSION_TEXT[2] << 16;
    absent = CONFIG_FSESSION_ABSENT;
    return 0;
}
