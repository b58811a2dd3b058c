// Steps through a call, instruction by instruction, and takes a backtrace at each.
#define _GNU_SOURCE
#if defined(__x86_64__)
#include "TrampolineFunctions.h"

#include <signal.h>
#include <string.h>
#include <ucontext.h>
#include <unwind.h>

static const struct t_range *ranges;
static int range_count, checked, failed;
static uint64_t failure;
static uint64_t caller_start, caller_end;

struct walk {
    int depth;
    bool found;
};

static _Unwind_Reason_Code visit(struct _Unwind_Context *context, void *data) {
    struct walk *walk = data;
    uint64_t ip = _Unwind_GetIP(context);
    if (ip >= caller_start && ip < caller_end) {
        walk->found = true;
        return _URC_NORMAL_STOP;
    }
    return ++walk->depth > 256 ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

static void on_trap(int signal, siginfo_t *info, void *raw) {
    ucontext_t *context = raw;
    uint64_t ip = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
    for (int i = 0; i < range_count; i++) {
        if (ip < ranges[i].start || ip >= ranges[i].end) continue;
        struct walk walk = {0, false};
        _Unwind_Backtrace(visit, &walk);
        checked++;
        if (!walk.found && failed++ == 0) failure = ip;
    }
}

// In the caller's own section, so that its bounds are known.
int64_t t_stepping_call(const void *function, int64_t a, int64_t b);
extern const char t_stepping_call_end[];

int t_step_function(const void *function, const struct t_range *r, int count, uint64_t *first_failure) {
    ranges = r;
    range_count = count;
    checked = failed = 0;
    failure = 0;
    caller_start = (uint64_t)t_stepping_call;
    caller_end = (uint64_t)t_stepping_call_end;
    // The first backtrace may load the unwinder.
    struct walk warm = {0, false};
    _Unwind_Backtrace(visit, &warm);
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, &before);
    t_stepping_call(function, 40, 2);
    sigaction(SIGTRAP, &before, NULL);
    *first_failure = failure;
    return failed ? -failed : checked;
}

int t_step_through(const struct t_range *r, int count, uint64_t *first_failure) {
    return t_step_function((const void *)t_add, r, count, first_failure);
}
#endif
