import BPF
import Glibc
import JIT
import LinuxProcess
import MachineCode
import TargetRuntime
import Trampoline
import Verifier

extension ProcessEngine {
    /// Puts an object's maps and programs into the target; nothing is linked yet.
    /// - Parameter other: the same object in another process of the session, with which the maps are shared.
    func load(_ object: Object, _ options: LoadOptions, sharedWith other: EngineObject?) throws(EngineError) -> LoadedObject {
        try requireRunning()
        if !options.verifies { try requireOwnProcess() }
        for program in object.programs { _ = try TrampolineProgramKind(of: program.name, program.section.kind) }
        if let extern = object.externs.first(where: \.isConfiguration) {
            throw .program(
                name: object.programs.first?.name ?? object.name,
                because: "'\(extern.name)' is a __kconfig variable, which programs in the kernel have")
        }
        // Before anything of it is in the target.
        let proofs = try ProgramProof.prove(object, options)
        let maps = try makeMaps(of: object, sharedWith: other)
        if options.allowsWriting { shared?.state.pointee.allow_write = 1 }
        let linker = ProgramLinker(maps: maps, externs: object.externs) { [functions] in functions.symbolAddress($0) }
        var programs: [LoadedProgram] = []
        for (program, proof) in zip(object.programs, proofs) {
            let linked = try linker.link(program, proof)
            var loaded = try compile(
                program.name, linked, section: program.section,
                kind: try TrampolineProgramKind(of: program.name, program.section.kind))
            loaded.needs.bytes = proof.contextBytes
            programs.append(loaded)
        }
        try Self.followTailCalls(object, &programs)
        try fillProgramArrays(maps, programs)
        return LoadedObject(maps: maps, programs: programs, object: object, sources: readRings(maps, sharedWith: other))
    }

    /// A tail call takes the context along: it must have what the programs behind it need, and those must be of the same
    /// kind, as in the kernel. Program arrays are filled once, below, so these are all.
    private static func followTailCalls(_ object: Object, _ programs: inout [LoadedProgram]) throws(EngineError) {
        var successors: [Set<Int>] = []
        for (program, loaded) in zip(object.programs, programs) {
            let slots = loaded.usesTailCalls ? programSlots(program, object) : []
            let targets = Set(programs.indices.filter { slots.contains(programs[$0].name) })
            for target in targets where programs[target].section.kind != program.section.kind {
                throw .program(
                    name: program.name,
                    because: "it may tail-call '\(programs[target].name)', a program of another kind "
                        + "('\(programs[target].section.name)'); only programs of one kind can call each other that way")
            }
            successors.append(targets)
        }
        for (index, needs) in ContextNeeds.following(programs.map(\.needs), successors).enumerated() {
            programs[index].needs = needs
        }
    }

    /// Names of the programs in the maps that a program knows.
    private static func programSlots(_ program: ObjectProgram, _ object: Object) -> Set<String> {
        let maps = program.mapIndices
        return Set(object.maps.indices.filter(maps.contains).flatMap { object.maps[$0].programSlots.values })
    }

    /// The rings of an object are read once, whoever of the session's processes writes them.
    private func readRings(_ maps: [LoadedMap], sharedWith other: EngineObject?) -> [any EventSource] {
        var rings: [any EventSource] = []
        if let other {
            rings = other.sources
            for case let ring as TargetRing in rings { ring.share() }
        } else {
            for map in maps where map.definition.type.traits.contains(.ring) {
                rings.append(TargetRing(map, .records(map: map.name, processID: processID)))
            }
            for ring in rings { reader.add(ring) }
        }
        sharedSources += rings
        return rings
    }

    /// The maps of an object: those of the other processes of the session, where there are some. What holds addresses of code is each
    /// process's own.
    private func makeMaps(of object: Object, sharedWith other: EngineObject?) throws(EngineError) -> [LoadedMap] {
        let own = object.maps.indices.filter { object.maps[$0].type == .progArray }
        let common = object.maps.indices.filter { object.maps[$0].type != .progArray }
        var maps = Dictionary(uniqueKeysWithValues: zip(own, try makeMaps(own.map { object.maps[$0] })))
        if let other, let first = common.first.flatMap({ other.maps[$0] as? LoadedMap }) {
            let region = try join(first.region.memory)
            for index in common {
                guard let map = other.maps[index] as? LoadedMap else { continue }
                maps[index] = LoadedMap(definition: map.definition, region: region, offset: map.offset, size: map.size)
            }
        } else {
            maps.merge(zip(common, try makeMaps(common.map { object.maps[$0] }, for: .objects))) { $1 }
        }
        // All processes of a session load the same objects, so the first one's slots are the same everywhere.
        if let region = common.first.flatMap({ maps[$0]?.region }), shared?.state.pointee.slots_address == 0 {
            shared?.state.pointee.slots_address = region.address(at: 0)
        }
        return object.maps.indices.compactMap { maps[$0] }
    }

    /// Maps in one shared region, which begins with the slots of per-CPU maps where other processes may come to have it.
    func makeMaps(_ definitions: [MapDefinition], for use: SharedMemory.Use = .process) throws(EngineError) -> [LoadedMap] {
        guard !definitions.isEmpty, shared != nil else { return [] }
        var layout = SharedLayout()
        var sizes: [Int] = []
        for definition in definitions { sizes.append(try definition.memorySize()) }
        let plain = definitions.indices.filter { !definitions[$0].type.traits.contains(.ring) }
        let offsets = layout.placePlain([use == .objects ? MemoryLayout<fs_slots>.size : 0] + plain.map { sizes[$0] }).dropFirst()
        var place = Dictionary(uniqueKeysWithValues: zip(plain, offsets))
        for index in definitions.indices where definitions[index].type.traits.contains(.ring) {
            let head = Int(FS_RING_DATA_OFFSET)
            place[index] = layout.placeRing(head: head, data: (sizes[index] - head) / 2)
        }
        let region = try makeSharedRegion(layout, for: use)
        var maps: [LoadedMap] = []
        for (index, definition) in definitions.enumerated() {
            let map = try LoadedMap.make(definition, in: region, at: place[index] ?? 0)
            if let contents = definition.initialContents {
                let result = map.write([0, 0, 0, 0], [contents], flags: 0)
                if result != 0 {
                    throw .map(name: definition.name, because: "its contents do not fit: \(String(cString: strerror(-result)))")
                }
            }
            maps.append(map)
        }
        return maps
    }

    func makeSharedRegion(_ layout: SharedLayout, for use: SharedMemory.Use = .process) throws(EngineError) -> SharedRegion {
        try addRegion(lending: Array("fsession\0".utf8)) { process, lent throws(EngineError) in
            try SharedRegion.make(in: &process, layout: layout, scratch: lent, for: use)
        }
    }

    private func join(_ memory: SharedMemory) throws(EngineError) -> SharedRegion {
        try addRegion(lending: []) { process, lent throws(EngineError) in
            try SharedRegion.map(memory, in: &process, lent: lent)
        }
    }

    /// Every thread is stopped meanwhile: the page that caches the process's id can lend its bytes.
    private func addRegion(
        lending bytes: [UInt8], _ make: @Sendable (inout StoppedProcess, UInt64) throws(EngineError) -> SharedRegion
    ) throws(EngineError) -> SharedRegion {
        let region = try withStopped { engine, process throws(EngineError) in
            let cached = try engine.memory.read(SharedMemory.lentBytes, at: engine.memory.scratchPage)
            try engine.memory.write(bytes, at: engine.memory.scratchPage)
            defer { try? engine.memory.write(cached, at: engine.memory.scratchPage) }
            return try make(&process, engine.memory.scratchPage)
        }
        memory.add(region)
        return region
    }

    /// Compiles a program for its final address and puts it into the target.
    func compile(
        _ name: String, _ linked: ProgramLinker.Linked, section: ProgramSection, kind: TrampolineProgramKind
    ) throws(EngineError) -> LoadedProgram {
        guard let shared else { throw .request("the target is not open") }
        let instructions = linked.instructions.map(\.encoded)
        let structure: ProgramStructure
        do throws(ProgramError) {
            structure = try ProgramStructure(linked.instructions).limitingStacks(to: linked.stackDepths)
        } catch {
            throw .program(name: name, because: "\(error)")
        }
        let runtime = self.runtime
        func compile(at address: UInt64) throws(EngineError) -> CompiledProgram {
            let context = CompileContext(
                address: address, state: shared.stateAddress, features: Architecture.processorFeatures, clock: shared.inlineClock,
                helperAddress: runtime.helper)
            do throws(JITError) {
                return try Architecture.Compiler.compile(structure, context: context)
            } catch {
                throw .program(name: name, because: "\(error)")
            }
        }
        // The code's size depends on its address only through distances; a first pass tells how much room it needs.
        let near = functions.executableRange
        var draft = CodeRecord(kind: .program, name: name, code: [])
        draft.instructions = instructions
        draft.slotOffsets = Array(repeating: 0, count: instructions.count)
        let room = try compile(at: runtime.address).code.count + 256
        try ensureRoom(draft.codeOffset + room, near: near)
        let place = try memory.allocate(draft.codeOffset + room, near: near.lowerBound)
        let compiled = try compile(at: place + UInt64(draft.codeOffset))
        guard compiled.code.count <= room else {
            throw .program(name: name, because: "its code has another size at another address")
        }
        draft.slotOffsets = compiled.slotOffsets.map { UInt32(truncatingIfNeeded: $0) }
        draft.code = compiled.code + Array(repeating: 0xcc, count: room - compiled.code.count)
        try memory.stage(draft.encoded, at: place)
        try memory.flush()
        return LoadedProgram(
            id: programs.nextID(), name: name, section: section, kind: kind,
            address: place + UInt64(draft.codeOffset), needs: ContextNeeds(usesCookie: linked.usesCookie),
            usesTailCalls: linked.usesTailCalls, clobbers: compiled.clobbers, codeSize: compiled.code.count)
    }

    /// Program arrays hold addresses of code in the target.
    private func fillProgramArrays(_ maps: [LoadedMap], _ programs: [LoadedProgram]) throws(EngineError) {
        for map in maps where map.definition.type == .progArray {
            for (slot, name) in map.definition.programSlots {
                guard let program = programs.first(where: { $0.name == name }) else {
                    throw .map(name: map.name, because: "its slot \(slot) names '\(name)', which is no program of the object")
                }
                let key = withUnsafeBytes(of: UInt32(slot).littleEndian) { Array($0) }
                let value = withUnsafeBytes(of: program.address.littleEndian) { Array($0) }
                let result = map.writeAddress(key, value)
                if result != 0 {
                    throw .map(name: map.name, because: "slot \(slot): \(String(cString: strerror(-result)))")
                }
            }
        }
    }

    /// Without the verifier a program can end its process: only one's own is to be risked.
    private func requireOwnProcess() throws(EngineError) {
        let user = geteuid()
        let status: ProcessStatus
        do throws(ProcessError) {
            status = try ProcessStatus(processID)
        } catch {
            throw .request("cannot tell whose process \(processID) is: \(error)")
        }
        guard status.user == user, status.effectiveUser == user else {
            throw .request(
                "programs that are not verified run in your own processes only; process \(processID) is of user \(status.effectiveUser)")
        }
    }

    func requireRunning() throws(EngineError) {
        guard teardown.isRunning, life.isRunning else {
            throw .request("process \(processID) has ended, or the session is detached")
        }
    }
}

extension TrampolineProgramKind {
    init(of program: String, _ kind: ProgramKind) throws(EngineError) {
        switch kind.single {
        case .session: self = .session
        case .fentry: self = .fentry
        case .fexit: self = .fexit
        case .fmodRet: self = .fmodRet
        default:
            throw .program(
                name: program,
                because: "\(kind.rawValue) programs run in the kernel only, which they do without -p and without a command")
        }
    }
}
