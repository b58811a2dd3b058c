import LinuxProcess
import Trampoline

/// From a chosen function to the code of its trampoline: displacing its entry, building its image. Nothing of
/// it stops the target, and nothing refers to the new code yet.
extension ProcessEngine {
    // MARK: - Displacing

    /// What our jumps overwrote.
    var overwritten: [CodeRange] {
        traced.values.map { CodeRange(address: $0.patchAddress, bytes: $0.displaced.originalBytes) }
    }

    /// Room for a function's moved entry; few need more.
    private static let movedEntryRoom = 64
    private static let largestMovedEntry = 256

    /// Moves the entries of functions that are not patched yet; those that cannot be moved leave the batch.
    func displace(_ batch: inout LinkBatch) throws(EngineError) {
        batch.functions.reserveCapacity(batch.displacing.count)
        let byModule = Dictionary(grouping: batch.displacing.compactMap { batch.infos[$0] }, by: \.modulePath)
        for (path, infos) in byModule.sorted(by: { $0.key < $1.key }) {
            guard let range = functions.executableRange(of: path) else { continue }
            let room = infos.count * ProcessEngine.movedEntryRoom
            try ensureRoom(room + ProcessEngine.largestMovedEntry, near: range)
            let analysis = try functions.analysis(of: path, for: infos, memory: memory, patched: overwritten)
            let foreign = ForeignCode.regions(in: processID, memory).filter { !isOurCode($0.range.lowerBound) }
            let start = try allocateCode(room, near: range)
            let conventions = infos.map { functions.convention(of: $0) }
            let results = Parallel.map(Array(zip(infos, conventions).enumerated())) {
                (index, function) -> Result<(DisplacedEntry, CallingConvention), DisplacementError> in
                do throws(DisplacementError) {
                    let place = start + UInt64(index * ProcessEngine.movedEntryRoom)
                    return .success((
                        try analysis.displace(function.0, at: place),
                        try analysis.convention(function.1.calling, of: function.0)))
                } catch {
                    return .failure(error)
                }
            }
            for ((info, convention), result) in zip(zip(infos, conventions), results) {
                if let owner = foreignPatch(at: info.address, analysis, foreign) {
                    refuse(info, owner, in: &batch)
                    continue
                }
                do throws(DisplacementError) {
                    var (displaced, calling) = try result.get()
                    if displaced.code.count > ProcessEngine.movedEntryRoom {
                        guard let place = try? allocateCode(displaced.code.count, near: range) else {
                            throw .outOfReach(from: info.address, to: range.lowerBound)
                        }
                        displaced = try analysis.displace(info, at: place)
                    }
                    if !displaced.code.isEmpty { batch.moved.append((displaced.codeAddress, displaced.code)) }
                    // It stands in the target; nobody asks for it again.
                    displaced.code = []
                    batch.functions[info.address] = TracedFunction(
                        info: info, convention: calling, displaced: displaced,
                        lists: TrampolineLists(
                            functionReturns: (info.entryOnly ?? convention.entryOnly ?? batch.noExits) == nil))
                } catch {
                    refuse(info, "\(error)", category: error.reason, in: &batch)
                }
            }
        }
        for moved in batch.moved.sorted(by: { $0.address < $1.address }) { try stageCode(moved.code, at: moved.address) }
        batch.moved = []
    }

    func refuse(_ info: FunctionInfo, _ reason: String, category: String? = nil, in batch: inout LinkBatch) {
        batch.additions[info.address] = nil
        batch.functions[info.address] = nil
        batch.refused.append(RefusedFunction(function: info, reason: reason, category: category))
    }

    /// Whether another fsession patched this function already.
    private func foreignPatch(
        at address: UInt64, _ analysis: ModuleAnalysis, _ foreign: [(range: Range<UInt64>, controller: Int32)]
    ) -> String? {
        guard !foreign.isEmpty, let target = analysis.jumpTarget(at: address),
            let owner = foreign.first(where: { $0.range.contains(target) })
        else { return nil }
        return "it is traced by another fsession (process \(owner.controller)); end that one first"
    }

    // MARK: - Images

    /// Makes the images of the batch's functions and writes them into the target. Nothing jumps to them yet.
    func build(_ batch: inout LinkBatch, counted: Bool = true) throws(EngineError) {
        if counted { try makeCounters(&batch) }
        var changed: [TracedFunction] = []
        changed.reserveCapacity(batch.order.count)
        for address in batch.order {
            guard let function = batch.functions[address] ?? traced[address] else { continue }
            var lists = function.lists
            for addition in batch.additions[address] ?? [] {
                do throws(TrampolineError) {
                    try lists.link(addition.link)
                } catch {
                    throw .request("\(function.info.displayName): \(error)")
                }
            }
            if let old = function.image, old.callsFunction { retiredUnwinding.append(old.unwind) }
            changed.append(function.with(lists))
        }
        let images = try makeImages(of: changed)
        for (function, image) in zip(changed, images) {
            batch.functions[function.info.address] = function.with(image)
        }
    }

    /// What two images have in common that are equally long, but for how far things are away.
    private struct Shape: Hashable {
        var arguments: [ArgumentLocation]
        var stackWords: Int
        var stackWordsAreKnown: Bool
        var keepsFrame: Bool
        var takesFramePointer: Bool
        var returnValue: ReturnLocation
        var entry: Int
        var fmodRet: Int
        var exit: Int
        var isCounted: Bool

        init(_ function: TracedFunction) {
            arguments = function.convention.arguments
            stackWords = function.convention.stackWords
            stackWordsAreKnown = function.convention.stackWordsAreKnown
            keepsFrame = function.convention.keepsFrame
            takesFramePointer = function.convention.takesFramePointer
            returnValue = function.convention.returnValue
            entry = function.lists.entry.count
            fmodRet = function.lists.fmodRet.count
            exit = function.lists.exit.count
            isCounted = function.counters != nil
        }
    }

    private static let imagesAtOnce = 4096

    /// What an image refers to in the runtime.
    private struct RuntimePlaces: Sendable {
        var safeCopy: UInt64?
        var lanes: CallCounters.Lanes?
    }

    /// Writes the images of functions into the target.
    func makeImages(of changed: [TracedFunction]) throws(EngineError) -> [InstalledImage] {
        // How long an image is can be told only of one that is made; one of each shape is.
        let places = RuntimePlaces(safeCopy: safeCopyAddress, lanes: counterLanes)
        var sizes: [Shape: Int] = [:]
        var works: [(function: TracedFunction, place: UInt64, room: Int)] = []
        works.reserveCapacity(changed.count)
        var rooms: [Int] = []
        rooms.reserveCapacity(changed.count)
        var roomByModule: [String: Int] = [:]
        for function in changed {
            let shape = Shape(function)
            let size: Int
            if let known = sizes[shape] {
                size = known
            } else {
                size = try Self.image(of: function, places: places, at: function.displaced.codeAddress).code.count
                sizes[shape] = size
            }
            let room = record(of: function).codeOffset + size + 64
            rooms.append(room)
            roomByModule[function.info.modulePath, default: 0] += room.roundedUp(to: 64)
        }
        // All of a module's in one piece; modules may share a region, so each takes its piece before the next one asks.
        var free: [String: UInt64] = [:]
        for (path, room) in roomByModule.sorted(by: { $0.key < $1.key }) {
            guard let range = functions.executableRange(of: path) else { continue }
            try ensureRoom(room, near: range)
            free[path] = try allocateCode(room, near: range)
        }
        for (function, room) in zip(changed, rooms) {
            guard let place = free[function.info.modulePath] else {
                throw .target(
                    pid: processID, doing: "place the trampoline of \(function.info.displayName)",
                    because: "\(function.info.modulePath) is not loaded any more")
            }
            works.append((function, place, room))
            free[function.info.modulePath] = place + UInt64(room.roundedUp(to: 64))
        }
        var images: [InstalledImage] = []
        images.reserveCapacity(works.count)
        // In parts, so that not all code of all images is in our memory at once.
        for start in stride(from: 0, to: works.count, by: ProcessEngine.imagesAtOnce) {
            let part = Array(works[start..<min(works.count, start + ProcessEngine.imagesAtOnce)])
            let results = Parallel.map(part) { work -> Result<(InstalledImage, [UInt8]), EngineError> in
                do throws(EngineError) {
                    return .success(try Self.encodedImage(of: work.function, places: places, at: work.place))
                } catch {
                    return .failure(error)
                }
            }
            for (work, result) in zip(part, results) {
                var (place, room) = (work.place, work.room)
                var (image, bytes) = try result.get()
                // Farther from what it refers to than the one of its shape that was measured.
                while bytes.count > room {
                    room = bytes.count + 64
                    if let range = functions.executableRange(of: work.function.info.modulePath) {
                        try ensureRoom(room, near: range)
                    }
                    place = try allocateCode(room, near: work.function.info.address)
                    (image, bytes) = try Self.encodedImage(of: work.function, places: places, at: place)
                }
                try stageCode(bytes, at: place)
                images.append(image)
            }
        }
        try flushCode()
        return images
    }

    private func record(of function: TracedFunction) -> CodeRecord { Self.record(of: function) }

    private static func record(of function: TracedFunction) -> CodeRecord {
        var record = CodeRecord(kind: .trampoline, name: function.info.name, code: [])
        record.function = function.patchAddress
        record.originalBytes = function.displaced.originalBytes
        return record
    }

    /// A function's image for the record at `place`, and the record's bytes.
    private static func encodedImage(
        of function: TracedFunction, places: RuntimePlaces, at place: UInt64
    ) throws(EngineError) -> (InstalledImage, [UInt8]) {
        var record = record(of: function)
        let image = try image(of: function, places: places, at: place + UInt64(record.codeOffset))
        record.code = image.code
        return (InstalledImage(image), record.encoded)
    }

    private static func image(
        of function: TracedFunction, places: RuntimePlaces, at address: UInt64
    ) throws(EngineError) -> TrampolineImage {
        do throws(TrampolineError) {
            return try Architecture.image(
                function.lists,
                function: FunctionEntry(address: function.info.address, relocatedEntry: function.displaced.bodyEntry),
                convention: function.convention,
                counters: function.counters.map { CallCounters(address: $0.address, lanes: places.lanes) },
                safeCopy: places.safeCopy, at: address)
        } catch {
            throw .request("cannot make the trampoline of \(function.info.displayName): \(error)")
        }
    }

    /// A pair of counters for each function that has none.
    private func makeCounters(_ batch: inout LinkBatch) throws(EngineError) {
        let new = batch.order.filter { address in
            batch.functions[address]?.counters == nil && traced[address]?.counters == nil
        }
        guard !new.isEmpty else { return }
        guard let shared else { return }
        let counters = try counterMemory.take(new.count, session: shared) { layout throws(EngineError) in
            try makeSharedRegion(layout)
        }
        for (address, counters) in zip(new, counters) {
            let function = batch.functions[address] ?? traced[address]
            batch.functions[address] = function?.with(counters)
        }
    }
}
