import BPF
import CLinux
import Glibc
import LinuxProcess
import Synchronization
import TargetRuntime
import Trampoline

/// Waits for the target to load libraries, on a thread of its own.
///
/// The dynamic linker calls `_dl_debug_state` whenever its list of libraries is consistent again; a routine of
/// the runtime is linked there, which says so in shared memory and waits until we have acknowledged it (at
/// most once for 200 ms: a controller that is gone must not be waited for again).
final class LibraryWatch: Sendable {
    private let region: SharedRegion
    private let stopping = Mutex(false)

    init(region: SharedRegion) { self.region = region }

    private var watch: UnsafeMutablePointer<fs_library_watch> {
        region.pointer(at: 0, count: MemoryLayout<fs_library_watch>.size).assumingMemoryBound(to: fs_library_watch.self)
    }

    func start(_ changed: @escaping @Sendable (_ generation: UInt32) -> Void) throws(EngineError) {
        try BlockingThread.start("fsession-dlopen") {
            var seen: UInt32 = 0
            while !self.stopping.withLock({ $0 }) {
                let now = fs_library_wait(self.watch, seen, 100_000_000)
                if now != seen {
                    seen = now
                    changed(now)
                }
            }
        }
    }

    /// Lets the target go on.
    func acknowledge(_ generation: UInt32) {
        fs_library_acknowledge(watch, generation)
    }

    /// The target must not wait for us any more.
    func stop() {
        stopping.withLock { $0 = true }
        acknowledge(watch.pointee.generation)
    }
}

extension ProcessEngine {
    /// Links the runtime's routine to the dynamic linker's notification, once.
    func watchLibraries() throws(EngineError) {
        guard libraryWatch == nil, let notification = functions.libraryNotification else { return }
        var layout = SharedLayout()
        _ = layout.placePlain([MemoryLayout<fs_library_watch>.size])
        let region = try makeSharedRegion(layout)
        region.pointer(at: 0, count: MemoryLayout<fs_library_watch>.size)
            .assumingMemoryBound(to: fs_library_watch.self).pointee.state = shared?.stateAddress ?? 0
        let watch = LibraryWatch(region: region)
        libraryWatch = watch
        let offset = fs_runtime_function_offset("library_event")
        guard offset >= 0 else { return }
        do throws(EngineError) {
            try linkOwn(
                notification, kind: .fentry, program: runtimeAddress + UInt64(offset), cookie: region.address(at: 0),
                id: OwnLink.libraries)
        } catch {
            queue.append([.warning("libraries that are loaded later will not be traced: \(error)")])
            return
        }
        try watch.start { generation in
            Task { await self.librariesChanged(generation) }
        }
    }

    /// Attaches what was asked for by pattern to the libraries that have come.
    private func librariesChanged(_ generation: UInt32) {
        defer { libraryWatch?.acknowledge(generation) }
        guard finished == nil, isOurs else { return }
        let new = Set(functions.refresh()).union(reloadedModules()).sorted()
        forgetUnmapped()
        guard !new.isEmpty else { return }
        for path in new {
            do throws(EngineError) {
                let report = try link(standing, onlyIn: [path])
                if !report.linked.isEmpty {
                    queue.append([.library(path: path, attached: report.linked.count)])
                }
            } catch {
                queue.append([.warning("functions of \(path) are not traced: \(error)")])
            }
        }
        do throws(EngineError) {
            try updateUnwinding()
        } catch {
            queue.append([.warning("\(error)")])
        }
    }

    /// Libraries that were unloaded and loaded again at their old place since we last looked: their functions have
    /// their own bytes again, and are forgotten here. One function tells it of its whole library.
    private func reloadedModules() -> Set<String> {
        var isNew: [String: Bool] = [:]
        for (address, function) in traced {
            let path = function.info.modulePath
            if isNew[path] == nil {
                isNew[path] = (try? read(function.displaced.originalBytes.count, at: function.patchAddress)) == Array(function.displaced.originalBytes)
            }
            guard isNew[path] == true else { continue }
            retire(function)
            traced[address] = nil
        }
        return Set(isNew.filter(\.value).keys)
    }

    /// Functions of libraries that were unloaded need nothing undone.
    private func forgetUnmapped() {
        for (address, function) in traced where functions.executableRange(of: function.info.modulePath) == nil {
            retire(function)
            traced[address] = nil
        }
    }

    /// Links a routine of the runtime, as if it were a program.
    func linkOwn(
        _ function: FunctionInfo, kind: TrampolineProgramKind, program: UInt64, cookie: UInt64, id: Int,
        needsAlignedStack: Bool = false
    ) throws(EngineError) {
        let link = TrampolineLink(
            id: id, programID: id, kind: kind, programAddress: program, attachCookie: cookie, needsAlignedStack: needsAlignedStack)
        var reason = ""
        // A thread may be in the function's first instructions: not for long.
        for _ in 0..<20 {
            var batch = LinkBatch()
            try add(link, to: function, in: &batch)
            try displace(&batch)
            if let refusal = batch.refused.first {
                throw .target(pid: processID, doing: "watch \(function.name)", because: refusal.reason)
            }
            try build(&batch, counted: false)
            try publish(&batch, tellsUnwinder: false)
            guard let refusal = batch.refused.first else { return }
            reason = refusal.reason
            usleep(1000)
        }
        throw .target(pid: processID, doing: "watch \(function.name)", because: reason)
    }

    /// Puts a link of our own into a batch, in the place of an earlier one.
    private func add(_ link: TrampolineLink, to function: FunctionInfo, in batch: inout LinkBatch) throws(EngineError) {
        let known = traced[function.address]
        let convention = functions.convention(of: function)
        var lists = known?.lists ?? TrampolineLists(functionReturns: (function.entryOnly ?? convention.entryOnly) == nil)
        lists.unlink(id: link.id)
        do throws(TrampolineError) {
            try lists.link(link)
        } catch {
            throw .target(pid: processID, doing: "watch \(function.name)", because: "\(error)")
        }
        batch.append(.init(info: function, convention: convention, lists: lists, function: known, isNew: known == nil))
    }
}

/// The ids of the engine's own links and programs; those of users are positive.
enum OwnLink {
    static let libraries = -1
    static let unwinding = -2
    static let trace = -3
    static let executions = -4
    static let filters = -5
}
