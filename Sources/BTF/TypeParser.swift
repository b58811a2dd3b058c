/// Decodes the type section, one entry after the other.
struct TypeParser {
    let reader: ByteReader
    var position: Int
    let end: Int
    /// The highest id that any entry refers to.
    var largestReference = BTF.TypeID.void

    mutating func next(_ strings: inout some NameTable) throws(BTFError) -> BTFType? {
        guard position < end else { return nil }
        let nameOffset = try word()
        let info = try word()
        let sizeOrType = try word()
        let count = Int(info & 0xffff)
        let flag = info >> 31 == 1
        let name = try strings.string(nameOffset)
        let kind: BTFType.Kind
        switch info >> 24 & 0x1f {
        case 1:
            let encoding = try word()
            guard sizeOrType >= 1, sizeOrType <= 16, encoding & 0xff <= sizeOrType * 8 else {
                throw .malformed("an integer of \(sizeOrType) bytes and \(encoding & 0xff) bits")
            }
            kind = .integer(
                BTFInteger(
                    size: sizeOrType, bits: UInt8(encoding & 0xff), bitOffset: UInt8(encoding >> 16 & 0xff),
                    isSigned: encoding >> 24 & 1 != 0, isCharacter: encoding >> 24 & 2 != 0 || name == "char",
                    isBoolean: encoding >> 24 & 4 != 0))
        case 2: kind = .pointer(reference(sizeOrType))
        case 3: kind = .array(element: try id(), index: try id(), count: try word())
        case 4: kind = .structure(size: sizeOrType, members: try members(count, flag, sizeOrType, &strings))
        case 5: kind = .union(size: sizeOrType, members: try members(count, flag, sizeOrType, &strings))
        case 6:
            var values: [BTFEnumerator] = []
            for _ in 0..<count {
                let name = try strings.string(try word())
                let bits = try word()
                values.append(BTFEnumerator(name: name, value: flag ? Int64(Int32(bitPattern: bits)) : Int64(bits)))
            }
            kind = .enumeration(size: try enumSize(sizeOrType), isSigned: flag, values: values)
        case 7: kind = .forward(isUnion: flag)
        case 8: kind = .typedef(reference(sizeOrType))
        case 9: kind = .volatile(reference(sizeOrType))
        case 10: kind = .const(reference(sizeOrType))
        case 11: kind = .restrict(reference(sizeOrType))
        case 12: kind = .function(prototype: reference(sizeOrType), linkage: try linkage(UInt32(count)))
        case 13:
            var parameters: [BTFParameter] = []
            for _ in 0..<count { parameters.append(BTFParameter(name: try strings.string(try word()), type: try id())) }
            kind = .prototype(result: reference(sizeOrType), parameters: parameters)
        case 14: kind = .variable(reference(sizeOrType), linkage: try linkage(try word()))
        case 15:
            var variables: [BTFSectionVariable] = []
            for _ in 0..<count {
                variables.append(BTFSectionVariable(type: try id(), offset: try word(), size: try word()))
            }
            kind = .dataSection(size: sizeOrType, variables: variables)
        case 16: kind = .float(size: sizeOrType)
        case 17: kind = .declarationTag(reference(sizeOrType), component: Int32(bitPattern: try word()))
        case 18: kind = .typeTag(reference(sizeOrType))
        case 19:
            var values: [BTFEnumerator] = []
            for _ in 0..<count {
                let name = try strings.string(try word())
                let (low, high) = (try word(), try word())
                values.append(BTFEnumerator(name: name, value: Int64(bitPattern: UInt64(high) << 32 | UInt64(low))))
            }
            kind = .enumeration(size: try enumSize(sizeOrType), isSigned: flag, values: values)
        case let number:
            throw .unsupported("a type of kind \(number); this version knows 1 to 19")
        }
        return BTFType(name: name, kind: kind)
    }

    private mutating func word() throws(BTFError) -> UInt32 {
        guard position + 4 <= end, let word = reader.u32(position) else { throw .truncated(what: "a type") }
        position += 4
        return word
    }

    private mutating func id() throws(BTFError) -> BTF.TypeID {
        reference(try word())
    }

    private mutating func reference(_ number: UInt32) -> BTF.TypeID {
        let id = BTF.TypeID(rawValue: number)
        largestReference = max(largestReference, id)
        return id
    }

    private func linkage(_ number: UInt32) throws(BTFError) -> BTFLinkage {
        guard let linkage = BTFLinkage(rawValue: number) else { throw .malformed("linkage \(number)") }
        return linkage
    }

    private func enumSize(_ size: UInt32) throws(BTFError) -> UInt32 {
        guard [1, 2, 4, 8].contains(size) else { throw .malformed("an enum of \(size) bytes") }
        return size
    }

    private mutating func members(
        _ count: Int, _ hasBitFields: Bool, _ size: UInt32, _ strings: inout some NameTable
    ) throws(BTFError) -> [BTFMember] {
        var members: [BTFMember] = []
        for _ in 0..<count {
            let name = try strings.string(try word())
            let type = try id()
            let place = try word()
            let offset = hasBitFields ? place & 0xff_ffff : place
            guard UInt64(offset) <= UInt64(size) * 8 else { throw .malformed("member \(members.count) of a struct lies outside it") }
            members.append(
                BTFMember(name: name, type: type, bitOffset: offset, bitFieldSize: hasBitFields ? UInt8(place >> 24) : 0))
        }
        return members
    }
}
