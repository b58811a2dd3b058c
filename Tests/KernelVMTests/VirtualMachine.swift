import Foundation
import TestSupport
import Testing

/// What a virtual machine said while it ran `guest.sh`.
struct VirtualMachine: Sendable {
    /// Those to be tested; `VM_KERNELS` leaves some out while one is worked on.
    static let kernels = {
        let all = ["7.2", "6.12", "6.1"]
        guard let wanted = ProcessInfo.processInfo.environment["VM_KERNELS"] else { return all }
        return all.filter { wanted.split(separator: " ").contains(Substring($0)) }
    }()
    let lines: [String]
    let errors: String
    let status: Int32

    /// The lines between "== NAME" and the next such line; nil if there is no such part.
    func part(_ name: String) -> [String]? {
        guard let start = lines.firstIndex(of: "== \(name)") else { return nil }
        return Array(lines[(start + 1)...].prefix { !$0.hasPrefix("== ") })
    }

    /// How it ended, for a test that misses something.
    var ending: String { "status \(status); \(lines.suffix(5)); \(errors.suffix(600))" }

    /// The machine with that kernel, run once; nil, said aloud, where the kernel cannot be had.
    static func of(_ kernel: String) async throws -> VirtualMachine? { try await Machines.shared.machine(kernel) }

    /// Runs the machines, two at a time: each keeps one processor busy.
    private actor Machines {
        static let shared = Machines()
        private var machines: [String: Task<VirtualMachine?, any Error>] = [:]
        private let queue = {
            let queue = OperationQueue()
            queue.maxConcurrentOperationCount = 2
            return queue
        }()

        func machine(_ kernel: String) async throws -> VirtualMachine? {
            // Whichever is asked for first, all are needed.
            for kernel in VirtualMachine.kernels where machines[kernel] == nil {
                machines[kernel] = Task { [queue] in
                    try await withCheckedThrowingContinuation { continuation in
                        queue.addOperation { continuation.resume(with: Result { try VirtualMachine.run(kernel) }) }
                    }
                }
            }
            return try await machines[kernel]?.value
        }
    }

    /// Boots the machine; once more where it did not come to its end. A kernel without the processor's help may die of what
    /// no real machine does, and what is asked here is what fsession does in it.
    private static func run(_ kernel: String) throws -> VirtualMachine? {
        let machine = try attempt(kernel)
        guard let machine, machine.status == diedStatus else { return machine }
        say("*** Linux \(kernel) did not come to its end and is booted once more: \(machine.ending)")
        return try attempt(kernel)
    }

    /// What `scripts/vm` ends with: no such kernel can be had; the machine did not end properly.
    private static let (missingStatus, diedStatus): (Int32, Int32) = (3, 4)

    private static func say(_ line: String) { FileHandle.standardError.write(Data("\n\(line)\n".utf8)) }

    private static func attempt(_ kernel: String) throws -> VirtualMachine? {
        let folder = try Folder()
        var files = [Repository.product("kernel-checks"), Repository.product("generate-linux-bpf")]
        files += [Repository.path("Sources/LinuxBPF/Structures+Generated.swift"), KernelCheck.folder.appendingPathComponent("kernel.config").path]
        let programs = KernelCheck.folder.appendingPathComponent("Programs")
        let article = Repository.root.appendingPathComponent("Examples/Article")
        // Beside the programs lie functions of a process, for the same checks there.
        let names = try FileManager.default.contentsOfDirectory(atPath: programs.path).filter { $0.hasSuffix(".bpf.c") }.sorted()
        for source in names.map(programs.appendingPathComponent) + ["entry_exit.bpf.c", "cookie.bpf.c"].map(article.appendingPathComponent) {
            let object = "\(folder.path)/\(source.deletingPathExtension().lastPathComponent).o"
            try Compiler.bpf(source.path, to: object)
            files.append(object)
        }
        let start = Date()
        let script = try Repository.text("Tests/KernelVMTests/guest.sh")
        let result = try runBlocking([Repository.path("scripts/vm"), kernel, "-r", script] + files, environment: ["VM_SECONDS": "1500"])
        let machine = VirtualMachine(lines: result.outputLines, errors: result.errors, status: result.status)
        say("Linux \(kernel): status \(machine.status) after \(Int(Date().timeIntervalSince(start))) s")
        if machine.status == missingStatus {
            say("*** SKIPPED: the kernel engine is NOT tested on Linux \(kernel): \(machine.errors)")
            return nil
        }
        return machine
    }
}
