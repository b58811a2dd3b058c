import BPF
import Glibc
import LinuxProcess
import Trampoline

extension ProcessEngine {
    /// Links the runtime's routine to the dynamic linker's notification, once.
    func watchLibraries() throws(EngineError) {
        guard hooks.libraries == nil, let notification = functions.libraryNotification else { return }
        guard let routine = runtime.routine("library_event") else { return }
        var layout = SharedLayout()
        _ = layout.placePlain([LibraryWatch.size])
        let region = try makeSharedRegion(layout)
        let watch = LibraryWatch(region: region, state: shared?.stateAddress ?? 0)
        hooks.libraries = watch
        do throws(EngineError) {
            try linkOwn(
                notification, kind: .fentry, program: routine, cookie: region.address(at: 0),
                hook: .libraries)
        } catch {
            queue.warn("libraries that are loaded later will not be traced: \(error)")
            return
        }
        try watch.start { Task { await self.librariesChanged() } }
    }

    /// Attaches what was asked for by pattern to the libraries that have come, while the thread that loads them waits.
    private func librariesChanged() {
        guard let watch = hooks.libraries, let generation = watch.take() else { return }
        let new = attachToNewLibraries()
        let outcome = watch.acknowledge(generation)
        guard !new.isEmpty else { return }
        let names = new.map { ModuleName.last(ModuleKey.path($0)) }.joined(separator: ", ")
        if outcome.wasHasty {
            queue.warn(
                "the process did not wait until the functions of \(names) were traced (fsession was stopped, or took more than "
                    + "\(seconds(LibraryWatch.limit))): their first calls may be missing")
        } else if outcome.waited >= .seconds(1) {
            queue.warn("the process waited \(seconds(outcome.waited)) until the functions of \(names) were traced")
        }
    }

    /// Gives the paths of the libraries that have come.
    private func attachToNewLibraries() -> [String] {
        // Where a library is on its way, those that it needs are not there yet; the dynamic linker says when they are.
        guard teardown.isRunning, isOurs, functions.dynamicLinker?.isConsistent(in: memory.process) != false else { return [] }
        let new = Set(functions.refresh()).union(reloadedModules()).sorted()
        forgetUnmapped()
        if !new.isEmpty {
            do throws(EngineError) {
                try decideExits()
            } catch {
                queue.warn("\(error)")
            }
        }
        for path in new {
            do throws(EngineError) {
                let report = try link(standing.all, for: .library(path))
                if !report.linked.isEmpty || !report.refused.isEmpty {
                    queue.append([.library(processID: processID, path: ModuleKey.path(path), report)])
                }
            } catch {
                guard isOurs else {
                    queue.warn("the process has ended before functions of \(ModuleKey.path(path)) were traced")
                    return []
                }
                queue.warn("functions of \(ModuleKey.path(path)) are not traced: \(error)")
            }
        }
        // A library of which nothing is traced may bring an unwinder, or be one that asks for frames.
        let unwinders = functions.unwinders()
        if !new.isEmpty, !unwinders.iterators.isEmpty || unwinders.hooks.contains(where: { !isHooked($0) }) {
            do throws(EngineError) {
                try updateUnwinding()
            } catch {
                queue.warn("\(error)")
            }
        }
        return new
    }

    /// `2.4 s`.
    private func seconds(_ duration: Duration) -> String {
        let tenths = duration.components.seconds * 10 + duration.components.attoseconds / 100_000_000_000_000_000
        return "\(tenths / 10).\(tenths % 10) s"
    }

    /// Libraries that were unloaded and loaded again at their old place since we last looked: their functions have
    /// their own bytes again, and are forgotten here. One function tells it of its whole library.
    private func reloadedModules() -> Set<String> {
        var isNew: [String: Bool] = [:]
        for function in traced.all {
            let path = function.info.modulePath
            if isNew[path] == nil {
                isNew[path] = (try? memory.read(function.patch.original.count, at: function.patch.address)) == Array(function.patch.original)
            }
            guard isNew[path] == true else { continue }
            retire(function)
        }
        return Set(isNew.filter(\.value).keys)
    }

    /// Functions of libraries that were unloaded need nothing undone.
    private func forgetUnmapped() {
        for function in traced.all
        where functions.executableRange(of: function.info.modulePath)?.contains(function.info.address) != true {
            retire(function)
        }
    }

    /// Links a routine of the runtime, as if it were a program.
    func linkOwn(
        _ function: FunctionInfo, kind: TrampolineProgramKind, program: UInt64, cookie: UInt64, hook: Hook,
        needsAlignedStack: Bool = false
    ) throws(EngineError) {
        let link = TrampolineLink(
            id: hook.id, programID: hook.id, kind: kind, programAddress: program, attachCookie: cookie,
            needsAlignedStack: needsAlignedStack)
        // Debug information of the C library takes a tenth of a second to read, and tells nothing that is needed here.
        let convention = traced[function.address] == nil ? .unknown : functions.convention(of: function)
        var reason = ""
        // A thread may be in the function's first instructions: not for long.
        for _ in 0..<20 {
            let plan: LinkPlan
            do throws(TrampolineError) {
                plan = try LinkPlan(link, at: .init(function: function, convention: convention), traced: traced)
            } catch {
                throw .target(pid: processID, doing: "watch \(function.name)", because: "\(error)")
            }
            var batch = try displace(plan)
            if let refusal = batch.outcome.refused.first {
                throw .target(pid: processID, doing: "watch \(function.name)", because: refusal.reason)
            }
            try build(&batch)
            try publish(&batch)
            guard let refusal = batch.outcome.refused.first else { return }
            reason = refusal.reason
            usleep(1000)
        }
        throw .target(pid: processID, doing: "watch \(function.name)", because: reason)
    }
}
