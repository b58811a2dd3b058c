/* SPDX-License-Identifier: Apache-2.0
 *
 * What a session program needs beside libbpf's bpf_helpers.h and bpf_tracing.h, where no vmlinux.h
 * declares it. Include it after them.
 */
#ifndef FSESSION_BPF_H
#define FSESSION_BPF_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s8 s8;
typedef __s16 s16;
typedef __s32 s32;
typedef __s64 s64;

/* Parameters of global functions, for a libbpf that is older: the program's context; memory that is never null. */
#ifndef __arg_ctx
#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))
#endif
#ifndef __arg_nonnull
#define __arg_nonnull __attribute__((btf_decl_tag("arg:nonnull")))
#endif

#ifndef __cplusplus
#ifndef bool
#define bool _Bool
#define true 1
#define false 0
#endif
#endif

/* Whether the program runs at the exit of the function; false at its entry. */
extern bool bpf_session_is_return(void *ctx) __ksym;

/* 64 bits of this program and this call: zero at entry, at exit what the entry left there. */
extern __u64 *bpf_session_cookie(void *ctx) __ksym;

#endif
