import BPF
import Engine
import LinuxBPF

/// Lets the kernel call its functions for tests of tracing, `bpf_fentry_test1` and so on or
/// `bpf_modify_return_test`: `BPF_PROG_TEST_RUN` of a program that could be attached to one of them.
package struct TestRun: Sendable {
    package enum Functions: Sendable {
        /// `bpf_fentry_test1(1)`, `bpf_fentry_test2(2, 3)`, …
        case fentry
        /// `bpf_modify_return_test(1, &two)`
        case modifyReturn
    }

    private let program: KernelProgram

    package init(_ functions: Functions) throws(EngineError) {
        var kernel = try KernelTypes()
        let isFentry = functions == .fentry
        let name = isFentry ? "bpf_fentry_test1" : "bpf_modify_return_test"
        guard let id = kernel.vmlinux.types.id(named: name, .function),
            let section = ProgramSection(name: isFentry ? "fentry" : "fmod_ret")
        else { throw .noFunction(pattern: name, nearest: []) }
        let program = ObjectProgram(name: "test_run", section: section, instructions: [.move(.r0, 0), .exit])
        let object = Object(name: "the test program", programs: [program], externs: [], license: "Dual MIT/GPL")
        let loader = try ProgramLoader(object, types: try ObjectTypes(object), maps: [], kernel: &kernel)
        self.program = try loader.load(
            program, as: ProgramType(section.kind), for: LoadTarget(function: id, holder: nil))
    }

    /// Calls the functions once. For `bpf_modify_return_test`: what it returned, and in the upper half what it changed.
    @discardableResult
    package func run() throws(EngineError) -> UInt32 {
        var attributes = ProgramTestRun { $0.progFd = program.descriptor.number }
        let result = attributes.run(.progTestRun)
        guard result >= 0 else {
            throw .kernel(doing: "run the kernel's test functions", because: "\(Errno(Int32(-result)))")
        }
        return attributes.retval
    }
}

/// The links there are in the kernel, of whomever.
package enum KernelLinks {
    /// The attach type of each tracing link (`BPF_TRACE_*`).
    package static func tracing() throws(EngineError) -> [UInt32] {
        switch BPFObjects.ids(.linkGetNextId) {
        case .failure(let error): throw .kernel(doing: "list the links", because: KernelAdvice.text(error))
        case .success(let ids):
            return ids.compactMap { id in
                guard let link = BPFObjects.open(.linkGetFdById, id: id) else { return nil }
                var information = LinkInfo()
                guard BPFObjects.get(&information, of: link),
                    [BPFLinkType.tracing, .tracingMulti].map(\.rawValue).contains(information.type)
                else { return nil }
                return information.tracingAttachType
            }
        }
    }
}

/// How many BPF objects there are in the kernel, of whomever.
package struct KernelObjects: Hashable, Sendable, CustomStringConvertible {
    package let links, programs, maps: Int

    package init() throws(EngineError) {
        func count(_ next: BPFCommand) throws(EngineError) -> Int {
            switch BPFObjects.ids(next) {
            case .success(let ids): ids.count
            case .failure(let error): throw .kernel(doing: "list what is loaded", because: KernelAdvice.text(error))
            }
        }
        links = try count(.linkGetNextId)
        programs = try count(.progGetNextId)
        maps = try count(.mapGetNextId)
    }

    package var description: String { "\(links) links, \(programs) programs, \(maps) maps" }
}
