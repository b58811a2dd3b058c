import BTF
import ELF
import Search

/// An object's maps, and how relocations find them.
struct ObjectMaps {
    var definitions: [MapDefinition] = []
    /// Index of the map of `.maps` that starts at an offset of that section.
    var byOffset: [UInt64: Int] = [:]
    /// Index of the map for a section of variables, by the section's index.
    var bySection: [Int: Int] = [:]
}

/// Finds the maps of an object.
struct MapReader {
    let input: ObjectInput

    /// All variables of an object together; a size in a damaged file must not fill the memory.
    private static let mostVariableBytes: UInt64 = 32 << 20

    func maps() throws(ObjectError) -> ObjectMaps {
        var maps = ObjectMaps()
        try addDefinedMaps(to: &maps)
        var total: UInt64 = 0
        for section in input.file.sections where section.size > 0 && section.flags.contains(.alloc) {
            let kind = MapDefinition.DataSection(sectionName: section.name)
            guard kind != .none, !section.flags.contains(.execute) else { continue }
            total = total.addingReportingOverflow(section.size).overflow ? .max : total + section.size
            guard total <= Self.mostVariableBytes else {
                throw .unsupported(
                    name: input.name,
                    what: "section \(section.name) makes \(total) bytes of variables; at most \(Self.mostVariableBytes) can be had")
            }
            try refuseAddresses(in: section)
            let contents =
                section.type == .noBits
                ? [UInt8](repeating: 0, count: Int(section.size)) : try input.contents(of: section).bytes
            maps.bySection[section.index] = maps.definitions.count
            maps.definitions.append(
                MapDefinition(
                    name: section.name, type: .array, keySize: 4, valueSize: UInt32(contents.count), maxEntries: 1,
                    // BPF_F_RDONLY_PROG
                    flags: kind == .rodata ? 0x80 : 0, keyTypeID: nil,
                    valueTypeID: input.dataSections[section.name], section: kind,
                    initialContents: contents, programSlots: [:]))
        }
        return maps
    }

    /// The address of something in an initialised variable would silently be 0, as with the usual loaders.
    private func refuseAddresses(in section: Section) throws(ObjectError) {
        guard let relocation = try input.relocations(for: section).first else { return }
        let symbol = try input.symbol(of: relocation, in: section)
        let target = input.symbols.name(of: symbol)
        let what = target.isEmpty ? input.file.section(at: symbol.sectionIndex)?.name ?? "something" : target
        throw .unsupported(
            name: input.name,
            what: "a variable in \(section.name) is initialised with the address of \(what); assign it in the program instead")
    }

    // MARK: .maps

    private func addDefinedMaps(to maps: inout ObjectMaps) throws(ObjectError) {
        guard let section = input.file.section(named: ".maps"), section.size > 0 else { return }
        guard let btf = input.btf else {
            throw .unsupported(name: input.name, what: "it has maps but no type information; compile it with -g")
        }
        guard let id = input.dataSections[".maps"], case .dataSection(_, let variables) = btf[id].kind else {
            throw .malformed(name: input.name, what: "its type information does not describe .maps")
        }
        let held = try initialValues(section, variables, btf)
        var placed = 0
        for variable in variables {
            guard case .variable(let type, _) = btf[variable.type].kind, let structID = btf.resolve(type),
                case .structure(_, let members) = btf[structID].kind
            else {
                throw .malformed(name: input.name, what: "map \(btf[variable.type].name) is not a struct")
            }
            let name = btf[variable.type].name
            var parser = MapParser(objectName: input.name, mapName: name, btf: btf)
            for member in members { try parser.add(member) }
            let definition = try parser.definition { place in
                let start = UInt64(variable.offset) + UInt64(place)
                let end = UInt64(variable.offset) + UInt64(variable.size)
                var slots = MapParser.Slots()
                var index = held.partitioningIndex { $0.offset >= start }
                while index < held.count, held[index].offset < end, placed < held.count {
                    let place = Int((held[index].offset - start) / 8)
                    if held[index].isMap { slots.maps[place] = held[index].name } else { slots.programs[place] = held[index].name }
                    index += 1
                    placed += 1
                }
                return slots
            }
            guard maps.byOffset.updateValue(maps.definitions.count, forKey: UInt64(variable.offset)) == nil else {
                throw .malformed(name: input.name, what: "two maps at offset \(variable.offset) of .maps")
            }
            maps.definitions.append(definition)
        }
    }

    /// What an offset in `.maps` holds the address of.
    private struct Held {
        let offset: UInt64
        let name: String
        let isMap: Bool
    }

    /// Offsets in `.maps` that hold the address of a program or of another map, in ascending order.
    private func initialValues(
        _ section: Section, _ variables: [BTFSectionVariable], _ btf: BTF
    ) throws(ObjectError) -> [Held] {
        let relocations = try input.relocations(for: section)
        guard !relocations.isEmpty else { return [] }
        let contents = try input.contents(of: section)
        var names: [[Int]: String] = [:]
        let functions = input.symbols.filter { $0.type == .function }
        for (symbol, name) in zip(functions, try input.names(of: functions)) {
            names[[symbol.sectionIndex, Int(truncatingIfNeeded: symbol.value)]] = name
        }
        var maps: [UInt64: String] = [:]
        for variable in variables { maps[UInt64(variable.offset)] = btf[variable.type].name }
        var held: [Held] = []
        for relocation in relocations {
            let symbol = try input.symbol(of: relocation, in: section)
            let address = symbol.value &+ (contents.load(at: relocation.offset) ?? 0)
            if symbol.sectionIndex == section.index, let name = maps[address] {
                held.append(Held(offset: relocation.offset, name: name, isMap: true))
            } else if let name = names[[symbol.sectionIndex, Int(truncatingIfNeeded: address)]] {
                held.append(Held(offset: relocation.offset, name: name, isMap: false))
            } else {
                throw .unsupported(
                    name: input.name,
                    what: "a map is initialised with \(input.symbols.name(of: symbol)), which is no program and no map")
            }
        }
        return held.sorted { $0.offset < $1.offset }
    }
}

/// Turns the members of a map's struct (`__uint`, `__type`, `__array`) into its definition.
private struct MapParser {
    let objectName: String
    let mapName: String
    let btf: BTF
    private var seen: Set<String> = []
    private var numbers: [String: UInt32] = [:]
    private var keyType: BTF.TypeID?
    private var valueType: BTF.TypeID?
    private var valuesOffset: UInt32?
    private var inner: MapDefinition?

    /// What a map holds from the start, by index.
    struct Slots {
        var programs: [Int: String] = [:]
        var maps: [Int: String] = [:]
    }

    init(objectName: String, mapName: String, btf: BTF) {
        self.objectName = objectName
        self.mapName = mapName
        self.btf = btf
    }

    mutating func add(_ member: BTFMember) throws(ObjectError) {
        guard seen.insert(member.name).inserted else { throw malformed("attribute \"\(member.name)\" twice") }
        switch member.name {
        case "type", "max_entries", "map_flags", "key_size", "value_size", "numa_node", "pinning", "map_extra":
            numbers[member.name] = try number(member)
        case "key": keyType = try pointee(member)
        case "value": valueType = try pointee(member)
        case "values":
            guard let id = btf.resolve(member.type), case .array(let element, _, _) = btf[id].kind,
                let elementID = btf.resolve(element), case .pointer(let target) = btf[elementID].kind
            else { throw malformed("\"values\" is not an array of pointers") }
            guard let targetID = btf.resolve(target) else { throw malformed("\"values\" is not an array of pointers") }
            switch btf[targetID].kind {
            case .prototype: break
            case .structure(_, let members): inner = try innerMap(members)
            default: throw malformed("\"values\" are neither programs nor maps")
            }
            valuesOffset = member.bitOffset / 8
        default:
            throw .unsupported(name: objectName, what: "map \(mapName): unknown attribute \"\(member.name)\"")
        }
    }

    /// What the maps inside are like; they hold no maps themselves.
    private func innerMap(_ members: [BTFMember]) throws(ObjectError) -> MapDefinition {
        guard !mapName.hasSuffix(".inner") else { throw malformed("its maps hold maps themselves, which the kernel does not have") }
        var parser = MapParser(objectName: objectName, mapName: mapName + ".inner", btf: btf)
        for member in members { try parser.add(member) }
        return try parser.definition { _ in Slots() }
    }

    func definition(slots: (UInt32) -> Slots) throws(ObjectError) -> MapDefinition {
        guard let number = numbers["type"] else { throw malformed("it has no type") }
        guard let type = MapType(rawValue: number) else {
            throw .unsupported(name: objectName, what: "map \(mapName) has the unknown type \(number)")
        }
        let pinning = numbers["pinning"] ?? 0
        guard pinning <= 1 else { throw malformed("pinning is \(pinning); there are LIBBPF_PIN_NONE and LIBBPF_PIN_BY_NAME") }
        let slots = valuesOffset.map(slots) ?? Slots()
        let holdsMaps = type == .arrayOfMaps || type == .hashOfMaps
        if type != .progArray, !slots.programs.isEmpty {
            throw .malformed(name: objectName, what: "map \(mapName) holds programs but is no prog array")
        }
        guard holdsMaps || slots.maps.isEmpty && inner == nil else { throw malformed("it holds maps but is no map of maps") }
        guard !holdsMaps || inner != nil else { throw malformed("its maps are not described by __array(values, struct …)") }
        return MapDefinition(
            name: mapName, type: type, keySize: try size("key", keyType),
            valueSize: valuesOffset != nil ? 4 : try size("value", valueType),
            maxEntries: numbers["max_entries"] ?? 0, flags: numbers["map_flags"] ?? 0, keyTypeID: keyType,
            valueTypeID: valueType, section: .none, initialContents: nil, programSlots: slots.programs,
            mapSlots: slots.maps, inner: inner, isPinned: pinning == 1)
    }

    private func malformed(_ what: String) -> ObjectError {
        .malformed(name: objectName, what: "map \(mapName): \(what)")
    }

    /// `__uint(name, 3)` is a pointer to an array of 3; `__ulong(name, 3)` an enum whose value is 3.
    private func number(_ member: BTFMember) throws(ObjectError) -> UInt32 {
        guard let id = btf.resolve(member.type) else { throw malformed("\"\(member.name)\" has no type") }
        switch btf[id].kind {
        case .pointer(let target):
            if let array = btf.resolve(target), case .array(_, _, let count) = btf[array].kind { return count }
        case .enumeration(_, _, let values):
            if let value = values.first?.value { return UInt32(truncatingIfNeeded: value) }
        default: break
        }
        throw malformed("\"\(member.name)\" is not made with __uint")
    }

    private func pointee(_ member: BTFMember) throws(ObjectError) -> BTF.TypeID {
        guard let id = btf.resolve(member.type), case .pointer(let target) = btf[id].kind else {
            throw malformed("\"\(member.name)\" is not made with __type")
        }
        return target
    }

    private func size(_ what: String, _ type: BTF.TypeID?) throws(ObjectError) -> UInt32 {
        let given = numbers[what + "_size"]
        guard let type else { return given ?? 0 }
        guard let size = btf.size(of: type), size <= UInt32.max else { throw malformed("its \(what) has no size") }
        if let given, given != UInt32(size) {
            throw malformed("\(what)_size is \(given), but its \(what) has \(size) bytes")
        }
        return UInt32(size)
    }
}
