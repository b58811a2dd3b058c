import BPF
import CLinux
import Glibc
import LinuxProcess

/// Says which programs the traced processes execute: those run untraced.
///
/// An ordinary fentry program at the C library's `execve`, through which all of exec and posix_spawn go. A
/// program that is executed without the C library is noticed for the traced process itself (`ExecWatch`).
enum ExecNotice {
    static let functions = ["execve", "execveat", "fexecve"]
    private static let pathSize = 248
    private static let recordSize = 8 + pathSize

    static let map = MapDefinition(
        name: "executions", type: .ringBuffer, keySize: 0, valueSize: 0, maxEntries: 1 << 16)

    /// pid_tgid, then the path, which is the first argument of `execve`.
    static var program: [Instruction] {
        [
            .move(.r6, .r1),
            .call(.helper(Helper.getCurrentPidTgid.rawValue)),
            .store(.u64, .r0, to: .r10, offset: Int16(-recordSize)),
            .move(.r1, .r10),
            .add(.r1, Int32(-pathSize)),
            .move(.r2, Int32(pathSize)),
            .load(.u64, into: .r3, from: .r6, offset: 0),
            .call(.helper(Helper.probeReadUserStr.rawValue)),
        ] + Instruction.loadMap(.r1, index: 0) + [
            .move(.r2, .r10),
            .add(.r2, Int32(-recordSize)),
            .move(.r3, Int32(recordSize)),
            .move(.r4, 0),
            .call(.helper(Helper.ringbufOutput.rawValue)),
            .move(.r0, 0),
            .exit,
        ]
    }

    /// The event of a record; nil for a path that nothing is at: `execvp` tries every folder of PATH.
    @Sendable static func decode(_ record: UnsafeRawBufferPointer) -> EngineEvent? {
        guard record.count >= recordSize else { return nil }
        let identity = record.loadUnaligned(as: UInt64.self)
        let path = String(decoding: record[8...].prefix { $0 != 0 }, as: UTF8.self)
        let pid = Int32(truncatingIfNeeded: identity >> 32)
        guard !path.isEmpty, !path.hasPrefix("/") || TargetFiles(pid: pid).hasProgram(path) || access(path, X_OK) == 0
        else { return nil }
        return .executed(processID: pid, path: path, byLibrary: true)
    }
}

extension ProcessEngine {
    /// Watches the exec of each C library, once.
    func watchExecutions() throws(EngineError) {
        let places = ExecNotice.functions.prefix(1).flatMap { functions.named($0) }
            .filter { $0.refusalReason == nil && hooks.isNew(at: $0.address) }
        guard !places.isEmpty, let program = try executionProgram() else { return }
        for place in places {
            do throws(EngineError) {
                try linkOwn(place, kind: .fentry, program: program.address, cookie: 0, hook: .executions)
            } catch {
                queue.warn("programs that the process executes will not be named: \(error)")
            }
        }
    }

    private func executionProgram() throws(EngineError) -> LoadedProgram? {
        if let executions = hooks.executions { return executions }
        guard let section = ProgramSection(name: "fentry") else { return nil }
        let map = try makeMaps([ExecNotice.map])[0]
        let linked = try ProgramLinker(maps: [map], externs: [], symbol: { _ in nil })
            .link(ObjectProgram(name: "executions", section: section, instructions: ExecNotice.program))
        let program = try compile("executions", linked, section: section, kind: .fentry)
        read(TargetRing(map, .other(ExecNotice.decode)))
        hooks.executions = program
        return program
    }
}
