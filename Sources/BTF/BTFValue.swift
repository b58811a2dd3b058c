/// A value of a C type, taken apart by its type information.
package indirect enum BTFValue: Hashable, Sendable {
    case integer(Int64)
    case unsigned(UInt64)
    /// More than 64 bits.
    case wide(UInt128)
    case boolean(Bool)
    case floating(Double)
    case pointer(UInt64)
    /// The name is nil where no enumerator has the value.
    case enumerator(name: String?, value: Int64)
    /// An array of `char` whose beginning is text.
    case string(String)
    case array([BTFValue])
    /// Members of a struct or union; those of anonymous members stand among them, as in C.
    case structure([Field])
    /// Bytes whose type says nothing about their meaning.
    case bytes([UInt8])
    /// Left out: the bytes end before it, or the type is damaged or nested beyond reason.
    case omitted

    package struct Field: Hashable, Sendable {
        package let name: String
        package let value: BTFValue
    }
}

extension BTF {
    /// The value that `bytes` are of a type. Bytes that end early give `.omitted` for what is missing.
    package func value<Bytes: RandomAccessCollection<UInt8>>(of bytes: Bytes, as type: TypeID) -> BTFValue {
        var decoder = ValueDecoder(btf: self, bytes: Array(bytes))
        return decoder.value(of: type, at: 0, depth: 0)
    }
}

/// Takes values apart. Types of hostile BTF can contain themselves or overlap without end, so both the depth and
/// the number of values are limited.
private struct ValueDecoder {
    let btf: BTF
    let bytes: [UInt8]
    private var budget: Int

    private static let deepest = 32

    init(btf: BTF, bytes: [UInt8]) {
        self.btf = btf
        self.bytes = bytes
        // Each byte may belong to several members of unions and to eight bit fields.
        budget = min(bytes.count * 8 + 1024, 1 << 20)
    }

    mutating func value(of id: BTF.TypeID, at offset: Int, depth: Int) -> BTFValue {
        budget -= 1
        guard budget > 0, depth < Self.deepest, let resolved = btf.resolve(id) else { return .omitted }
        switch btf[resolved].kind {
        case .integer(let integer):
            if integer.bitOffset != 0 || UInt32(integer.bits) != integer.size * 8 {
                return bitField(of: id, bit: offset * 8 + Int(integer.bitOffset), size: Int(integer.bits))
            }
            guard let bits = load(offset, Int(integer.size)) else { return .omitted }
            return self.integer(integer, bits, Int(integer.size) * 8)
        case .pointer:
            return load(offset, 8).map { .pointer(UInt64(truncatingIfNeeded: $0)) } ?? .omitted
        case .enumeration(let size, let isSigned, let values):
            guard let bits = load(offset, Int(size)) else { return .omitted }
            return enumerator(bits, Int(size) * 8, isSigned, values)
        case .float(let size):
            guard let bits = load(offset, Int(size)) else { return .omitted }
            return switch size {
            case 4: .floating(Double(Float(bitPattern: UInt32(truncatingIfNeeded: bits))))
            case 8: .floating(Double(bitPattern: UInt64(truncatingIfNeeded: bits)))
            default: .bytes(Array(bytes[offset..<offset + Int(size)]))
            }
        case .array(let element, _, let count):
            return array(of: element, count: Int(count), at: offset, depth: depth)
        case .structure(_, let members), .union(_, let members):
            return .structure(fields(members, at: offset, depth: depth))
        case .dataSection(_, let variables):
            var fields: [BTFValue.Field] = []
            for variable in variables {
                guard case .variable(let type, _) = btf[variable.type].kind, budget > 0 else { continue }
                let value = value(of: type, at: offset + Int(variable.offset), depth: depth + 1)
                fields.append(BTFValue.Field(name: btf[variable.type].name, value: value))
            }
            return .structure(fields)
        case .variable(let type, _):
            return value(of: type, at: offset, depth: depth + 1)
        default:
            return .omitted
        }
    }

    private mutating func fields(_ members: [BTFMember], at offset: Int, depth: Int) -> [BTFValue.Field] {
        var fields: [BTFValue.Field] = []
        for member in members {
            // A name that repeats in each element of an array must not fill the memory, either.
            budget -= member.name.utf8.count / 32
            guard budget > 0 else { break }
            let value =
                member.bitFieldSize == 0
                ? value(of: member.type, at: offset + Int(member.bitOffset / 8), depth: depth + 1)
                : bitField(of: member.type, bit: offset * 8 + Int(member.bitOffset), size: Int(member.bitFieldSize))
            if member.name.isEmpty, case .structure(let inner) = value {
                fields += inner
            } else {
                fields.append(BTFValue.Field(name: member.name, value: value))
            }
        }
        return fields
    }

    private mutating func array(of element: BTF.TypeID, count: Int, at offset: Int, depth: Int) -> BTFValue {
        guard let size = btf.size(of: element), size > 0, size <= UInt64(Int32.max) else { return .array([]) }
        if let text = text(of: element, count: count, at: offset) { return .string(text) }
        var values: [BTFValue] = []
        for index in 0..<count {
            let (place, overflow) = index.multipliedReportingOverflow(by: Int(size))
            guard !overflow, budget > 0, place <= bytes.count, offset <= bytes.count - place,
                bytes.count - place - offset >= Int(size)
            else {
                values.append(.omitted)
                break
            }
            values.append(value(of: element, at: offset + place, depth: depth + 1))
        }
        return .array(values)
    }

    /// The text in an array of `char`, up to its NUL; nil if it is none.
    private func text(of element: BTF.TypeID, count: Int, at offset: Int) -> String? {
        guard count > 0, let id = btf.resolve(element), case .integer(let integer) = btf[id].kind, integer.size == 1,
            integer.isCharacter, offset <= bytes.count
        else { return nil }
        let part = bytes[offset..<min(offset + count, bytes.count)].prefix { $0 != 0 }
        guard part.allSatisfy({ $0 >= 0x20 && $0 != 0x7f || (9...13).contains($0) || $0 == 0x1b }) else { return nil }
        return String(validating: part, as: UTF8.self)
    }

    private func bitField(of id: BTF.TypeID, bit: Int, size: Int) -> BTFValue {
        guard let resolved = btf.resolve(id), size > 0, size <= 128, bit >= 0, bit + size <= bytes.count * 8 else {
            return .omitted
        }
        var bits: UInt128 = 0
        for index in 0..<size where bytes[(bit + index) / 8] >> UInt8((bit + index) % 8) & 1 == 1 {
            bits |= 1 << UInt128(index)
        }
        switch btf[resolved].kind {
        case .integer(let integer): return self.integer(integer, bits, size)
        case .enumeration(_, let isSigned, let values): return enumerator(bits, size, isSigned, values)
        default: return .omitted
        }
    }

    private func integer(_ integer: BTFInteger, _ bits: UInt128, _ size: Int) -> BTFValue {
        if size > 64 { return .wide(bits) }
        if integer.isBoolean { return .boolean(bits != 0) }
        return integer.isSigned ? .integer(signed(bits, size)) : .unsigned(UInt64(truncatingIfNeeded: bits))
    }

    private func enumerator(_ bits: UInt128, _ size: Int, _ isSigned: Bool, _ values: [BTFEnumerator]) -> BTFValue {
        let value = isSigned ? signed(bits, size) : Int64(truncatingIfNeeded: bits)
        return .enumerator(name: values.first { $0.value == value }?.name, value: value)
    }

    private func signed(_ bits: UInt128, _ size: Int) -> Int64 {
        let shift = Int64(64 - min(size, 64))
        return (Int64(truncatingIfNeeded: bits) << shift) >> shift
    }

    private func load(_ offset: Int, _ size: Int) -> UInt128? {
        guard size > 0, size <= 16, offset >= 0, offset <= bytes.count, size <= bytes.count - offset else { return nil }
        var bits: UInt128 = 0
        for byte in 0..<size { bits |= UInt128(bytes[offset + byte]) << UInt128(8 * byte) }
        return bits
    }
}
