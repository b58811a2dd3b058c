import BPF
import Engine
import Glibc
import LinuxBPF

/// One program at many functions by one link: `BPF_TRACE_FSESSION_MULTI`, `BPF_TRACE_FENTRY_MULTI` and
/// `BPF_TRACE_FEXIT_MULTI` (Linux 7.2). Such a program knows no function's type, so it must not read `ctx` itself, but
/// ask `bpf_get_func_arg` and `bpf_get_func_ret`.
enum TracingMulti {
    /// What a program of one function's kind is for many; nil where there is no such thing.
    static func kind(_ kind: ProgramKind) -> ProgramKind? {
        switch kind.single {
        case .session: .sessionMulti
        case .fentry: .fentryMulti
        case .fexit: .fexitMulti
        default: nil
        }
    }

    /// `BPF_LINK_CREATE` with `link_create.tracing_multi`.
    private static func create(
        _ program: KernelProgram, _ functions: ArraySlice<KernelFunction>, _ cookies: ArraySlice<UInt64>
    ) -> Result<BPFDescriptor, Errno> {
        AttributeArena.with { arena in
            var attributes = LinkCreate(program) {
                $0.tracingMultiIds = arena.address(of: functions.map(\.target.function.rawValue))
                $0.tracingMultiCookies = arena.address(of: cookies)
                $0.tracingMultiCnt = UInt32(functions.count)
            }
            return attributes.open(.linkCreate)
        }
    }

    /// What became of some functions.
    struct Outcome {
        /// A link, and the functions' places that it is at.
        var links: [(link: AttachedProgram, places: Range<Int>)] = []
        /// The places of functions that the kernel does not take among many.
        var left: [Int] = []
    }

    /// Attaches to all of `functions`, which are of one module. Where the kernel refuses, which it does for all because of
    /// one, to each half alone, and so on.
    static func attach(
        _ program: KernelProgram, to functions: [KernelFunction], cookies: [UInt64], _ progress: AttachProgress
    ) -> Outcome {
        var outcome = Outcome()
        var work = [functions.indices]
        // Each refused function takes a few attempts; when many are refused, there is nothing to be gained.
        var attempts = 64
        while let range = work.popLast() {
            if progress.isCancelled { break }
            guard attempts > 0, range.count > 1 || outcome.links.isEmpty == false || functions.count == 1 else {
                outcome.left += range
                continue
            }
            attempts -= 1
            if case .success(let link) = create(program, functions[range], cookies[range]) {
                outcome.links.append((AttachedProgram(link: link, program: program.descriptor), range))
                progress.finish(range.count)
            } else if range.count == 1 {
                outcome.left += range
            } else {
                let middle = range.lowerBound + range.count / 2
                work.append(middle..<range.upperBound)
                work.append(range.lowerBound..<middle)
            }
        }
        return outcome
    }
}
