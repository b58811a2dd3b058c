import LinuxProcess
import MachineCode
import Trampoline

/// From a chosen function to the code of its trampoline: displacing its entry, building its image. Nothing of
/// it stops the target, and nothing refers to the new code yet.
extension ProcessEngine {
    // MARK: - Displacing

    /// Room for a function's moved entry; few need more.
    private static let movedEntryRoom = 64
    private static let largestMovedEntry = 256

    /// Moves the entries of functions that are not patched yet.
    func displace(_ plan: consuming LinkPlan, _ progress: AttachProgress? = nil) throws(EngineError) -> PreparedBatch {
        var outcome = plan.takeOutcome()
        let changes = plan.changes
        var moved = changes.map(\.present)
        var byModule: [String: [Int]] = [:]
        for index in changes.indices where changes[index].present == nil {
            byModule[changes[index].info.modulePath, default: []].append(index)
        }
        progress?.add(byModule.values.reduce(0) { $0 + $1.count })
        for (path, indices) in byModule.sorted(by: { $0.key < $1.key }) {
            guard let range = functions.executableRange(of: path) else {
                for index in indices { outcome.refuse(changes[index].info, "its module is not loaded any more") }
                continue
            }
            try progress?.check()
            let room = indices.count * ProcessEngine.movedEntryRoom
            try ensureRoom(room + ProcessEngine.largestMovedEntry, near: range)
            let analysis = try functions.analysis(
                of: path, for: indices.map { changes[$0].info }, memory: memory.process, patched: traced.overwritten(in: range))
            Self.giveBackMemory(usedFor: indices.count)
            let start = try memory.allocate(room, near: range)
            var foreign = ForeignPatches(in: processID, module: range)
            // In parts, so that few of the results are in our memory twice.
            for first in stride(from: 0, to: indices.count, by: ProcessEngine.functionsAtOnce) {
                let part = indices[first..<min(indices.count, first + ProcessEngine.functionsAtOnce)]
                let functions = try displace(part.map { changes[$0] }, number: first, at: start, analysis, &foreign, &outcome)
                for (index, function) in zip(part, functions) { moved[index] = function }
                progress?.finish(part.count)
                try progress?.check()
            }
            try memory.flush()
        }
        outcome.drop(Set(changes.indices.lazy.filter { moved[$0] == nil }.map { changes[$0].info.address }))
        return PreparedBatch(
            plan.stage,
            changes.indices.compactMap { index in
                moved[index].map { .init(function: $0, lists: changes[index].lists, before: changes[index].present) }
            }, outcome)
    }

    private static let functionsAtOnce = 8192

    /// Moves the entries of functions of one module; nil for those that cannot be moved.
    /// - Parameters:
    ///   - first: how many of the module's come before.
    ///   - start: where the module's moved entries are.
    private func displace(
        _ changes: [LinkPlan.Change], number first: Int, at start: UInt64, _ analysis: ModuleAnalysis,
        _ foreign: inout ForeignPatches, _ outcome: inout LinkOutcome
    ) throws(EngineError) -> [TracedFunction?] {
        let start = start + UInt64(first * ProcessEngine.movedEntryRoom)
        let results = Parallel.map(changes.indices) {
            number -> Result<(DisplacedEntry, CallingConvention), DisplacementError> in
            do throws(DisplacementError) {
                let info = changes[number].info
                let place = start + UInt64(number * ProcessEngine.movedEntryRoom)
                return .success(
                    (
                        try analysis.displace(info, at: place), try analysis.convention(changes[number].convention.calling, of: info)
                    ))
            } catch {
                return .failure(error)
            }
        }
        var codes: [(address: UInt64, code: [UInt8])] = []
        var functions: [TracedFunction?] = []
        functions.reserveCapacity(changes.count)
        for (change, result) in zip(changes, results) {
            let info = change.info
            if let owner = foreign.patch(at: info.address, analysis, memory.process, isOurs: isOurCode) {
                outcome.refuse(info, owner)
                functions.append(nil)
                continue
            }
            do throws(DisplacementError) {
                var (displaced, calling) = try result.get()
                if displaced.code.count > ProcessEngine.movedEntryRoom {
                    guard let range = self.functions.executableRange(of: info.modulePath),
                        let place = try? memory.allocate(displaced.code.count, near: range)
                    else { throw .outOfReach(from: info.address, to: start) }
                    displaced = try analysis.displace(info, at: place)
                }
                if !displaced.code.isEmpty { codes.append((displaced.codeAddress, displaced.code)) }
                // It stands in the target; nobody asks for it again.
                displaced.code = []
                unwinderTable.share(&displaced)
                functions.append(
                    TracedFunction(info: info, convention: calling, displaced: displaced, lists: change.lists))
            } catch {
                outcome.refuse(info, "\(error)", category: error.reason)
                functions.append(nil)
            }
        }
        for code in codes.sorted(by: { $0.address < $1.address }) { try memory.stage(code.code, at: code.address) }
        return functions
    }

    // MARK: - Images

    /// Makes the images of the batch's functions and writes them into the target. Nothing jumps to them yet.
    func build(_ batch: inout PreparedBatch) throws(EngineError) {
        var requests: [ImageRequest] = []
        requests.reserveCapacity(batch.changes.count)
        var uncounted: [Int] = []
        for change in batch.changes {
            let function = change.function
            if batch.stage.isCounted, function.counters == nil { uncounted.append(requests.count) }
            unwinderTable.retireImage(of: function)
            requests.append(ImageRequest(function: function, lists: change.lists, counters: function.counters))
        }
        for (index, counters) in zip(uncounted, try makeCounters(uncounted.count)) { requests[index].counters = counters }
        let images = try makeImages(of: requests)
        for (index, image) in images.enumerated() {
            let request = requests[index]
            batch.changes[index].function = request.function.with(request.lists, request.counters, image)
        }
    }

    /// A function and what its image is to be made of.
    struct ImageRequest: Sendable {
        var function: TracedFunction
        var lists: TrampolineLists
        var counters: CallCounts?

        var values: ImageValues {
            ImageValues(
                FunctionEntry(address: function.info.address, relocatedEntry: function.displaced.bodyEntry), lists,
                counters?.address)
        }

        var shape: ImageShape {
            ImageShape(lists, function.convention, values, isCounted: counters != nil)
        }

        /// The record that the image lies in, without its code.
        var record: CodeRecord {
            var record = CodeRecord(kind: .trampoline, name: function.info.name, code: [])
            record.function = function.displaced.patch.address
            record.originalBytes = function.displaced.patch.original
            return record
        }
    }

    /// Of which template an image is made, and where its record is to be.
    private struct ImageWork: Sendable {
        var template: Int
        var place: UInt64
    }

    /// Writes the images of functions into the target.
    func makeImages(of requests: [ImageRequest]) throws(EngineError) -> [InstalledImage] {
        var templates: [Architecture.Template] = []
        var known: [ImageShape: Int] = [:]
        var works: [ImageWork] = []
        works.reserveCapacity(requests.count)
        var roomByModule: [String: Int] = [:]
        let shapes = Parallel.map(requests.indices) { requests[$0].shape }
        for (index, shape) in shapes.enumerated() {
            let template: Int
            if let index = known[shape] {
                template = index
            } else {
                template = templates.count
                let request = requests[index]
                templates.append(try makeTemplate(shape, of: request, at: request.function.displaced.codeAddress))
                known[shape] = template
            }
            // The place is an offset in the module's room at first.
            let info = requests[index].function.info
            let size = (CodeRecord.codeOffset(name: info.name) + templates[template].size).roundedUp(to: 64)
            let offset = roomByModule[info.modulePath, default: 0]
            roomByModule[info.modulePath] = offset + size
            works.append(ImageWork(template: template, place: UInt64(offset)))
        }
        // All of a module's in one piece; modules may share a region, so each takes its piece before the next one asks.
        var starts: [String: UInt64] = [:]
        for (path, room) in roomByModule.sorted(by: { $0.key < $1.key }) {
            guard let range = functions.executableRange(of: path) else { continue }
            try ensureRoom(room, near: range)
            starts[path] = try memory.allocate(room, near: range)
        }
        for index in works.indices {
            let info = requests[index].function.info
            guard let start = starts[info.modulePath] else {
                throw .target(
                    pid: processID, doing: "place the trampoline of \(info.displayName)",
                    because: "\(ModuleKey.path(info.modulePath)) is not loaded any more")
            }
            works[index].place += start
        }
        return try write(requests, works, templates)
    }

    /// Fills in the images and writes them.
    private func write(
        _ requests: [ImageRequest], _ works: [ImageWork], _ templates: [Architecture.Template]
    ) throws(EngineError) -> [InstalledImage] {
        var images: [InstalledImage] = []
        images.reserveCapacity(works.count)
        // In parts, so that not all code of all images is in our memory at once.
        for start in stride(from: 0, to: works.count, by: ProcessEngine.functionsAtOnce) {
            let part = start..<min(works.count, start + ProcessEngine.functionsAtOnce)
            let results = Parallel.map(part) { index -> [UInt8]? in
                let (request, work) = (requests[index], works[index])
                var record = request.record
                let address = work.place + UInt64(record.codeOffset)
                guard let code = try? templates[work.template].code(request.values, at: address) else { return nil }
                record.code = code
                return record.encoded
            }
            for index in part {
                var place = works[index].place
                var template = templates[works[index].template]
                if let bytes = results[index - start] {
                    try memory.stage(bytes, at: place)
                } else {
                    (template, place) = try writeAlone(requests[index], near: place)
                }
                images.append(
                    InstalledImage(
                        address: place + UInt64(CodeRecord.codeOffset(name: requests[index].function.info.name)),
                        size: template.size, description: template.unwind, callsFunction: template.callsFunction))
            }
        }
        try memory.flush()
        return images
    }

    /// An image that is farther from what it refers to than the one that its template was made for.
    private func writeAlone(
        _ request: ImageRequest, near place: UInt64
    ) throws(EngineError) -> (Architecture.Template, place: UInt64) {
        var record = request.record
        let size = try makeTemplate(request.shape, of: request, at: place).size
        let room = record.codeOffset + size + 64
        if let range = functions.executableRange(of: request.function.info.modulePath) {
            try ensureRoom(room, near: range)
        }
        let place = try memory.allocate(room, near: request.function.info.address)
        let address = place + UInt64(record.codeOffset)
        let template = try makeTemplate(request.shape, of: request, at: address)
        do throws(TrampolineError) {
            record.code = try template.code(request.values, at: address)
        } catch {
            throw .request("cannot make the trampoline of \(request.function.info.displayName): \(error)")
        }
        guard record.code.count <= size + 64 else {
            throw .request(
                "cannot make the trampoline of \(request.function.info.displayName): it has another size at another place")
        }
        try memory.stage(record.encoded, at: place)
        return (template, place)
    }

    private func makeTemplate(
        _ shape: ImageShape, of request: ImageRequest, at address: UInt64
    ) throws(EngineError) -> Architecture.Template {
        do throws(TrampolineError) {
            return try Architecture.template(
                shape, request.values, lanes: counterLanes, safeCopy: runtime.safeCopy, at: address)
        } catch {
            throw .request("cannot make the trampoline of \(request.function.info.displayName): \(error)")
        }
    }

    /// Pairs of counters for functions that have none.
    private func makeCounters(_ count: Int) throws(EngineError) -> [CallCounts] {
        guard count > 0, let shared else { return [] }
        return try counterMemory.take(count, session: shared) { layout throws(EngineError) in
            try makeSharedRegion(layout)
        }
    }
}
