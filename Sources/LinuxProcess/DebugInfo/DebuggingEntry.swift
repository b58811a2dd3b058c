import CLibDW
import Glibc

/// A debugging information entry (`Dwarf_Die`), valid as long as its `DebugInfo`.
struct DebuggingEntry {
    var raw: Dwarf_Die

    /// Tells entries apart, in whichever section or file they are.
    var key: UInt { UInt(bitPattern: raw.addr) }

    /// `DW_TAG_…`, 0 if the entry cannot be read.
    var tag: Int {
        var die = raw
        let tag = dwarf_tag(&die)
        return tag > 0 ? Int(tag) : 0
    }

    /// `integrated` looks in the abstract origin and the specification as well.
    func attribute(_ name: Int, integrated: Bool = false) -> Dwarf_Attribute? {
        var die = raw
        var attribute = Dwarf_Attribute()
        let found =
            integrated
            ? dwarf_attr_integrate(&die, UInt32(name), &attribute)
            : dwarf_attr(&die, UInt32(name), &attribute)
        return found == nil ? nil : attribute
    }

    func string(_ name: Int, integrated: Bool = false) -> String? {
        guard var attribute = attribute(name, integrated: integrated) else { return nil }
        // An inline string is not checked by libdw for its end: take only one that ends within its section.
        var limit = 1 << 20
        if attribute.form == UInt32(DW_FORM_string) {
            guard let room = roomInSection(attribute) else { return nil }
            limit = min(limit, room)
        }
        guard let text = dwarf_formstring(&attribute) else { return nil }
        let count = strnlen(text, limit)
        guard count > 0, count < limit else { return nil }
        return text.withMemoryRebound(to: UInt8.self, capacity: count) {
            String(decoding: UnsafeBufferPointer(start: $0, count: min(count, 1024)), as: UTF8.self)
        }
    }

    func unsigned(_ name: Int) -> UInt64? {
        guard var attribute = attribute(name) else { return nil }
        var value: Dwarf_Word = 0
        return dwarf_formudata(&attribute, &value) == 0 ? value : nil
    }

    func signed(_ name: Int) -> Int64? {
        guard var attribute = attribute(name) else { return nil }
        var value: Dwarf_Sword = 0
        return dwarf_formsdata(&attribute, &value) == 0 ? Int64(value) : nil
    }

    /// A size or count that fits what a program can hold; nil for one that does not.
    func size(_ name: Int) -> Int? {
        guard let value = unsigned(name), value < 1 << 40 else { return nil }
        return Int(value)
    }

    func flag(_ name: Int, integrated: Bool = false) -> Bool {
        guard var attribute = attribute(name, integrated: integrated) else { return false }
        var value = false
        return dwarf_formflag(&attribute, &value) == 0 && value
    }

    func reference(_ name: Int, integrated: Bool = false) -> DebuggingEntry? {
        guard var attribute = attribute(name, integrated: integrated) else { return nil }
        var die = Dwarf_Die()
        return dwarf_formref_die(&attribute, &die) == nil ? nil : DebuggingEntry(raw: die)
    }

    /// Calls `body` for each child, until it returns false.
    func forEachChild(_ body: (DebuggingEntry) -> Bool) {
        var die = raw
        var child = Dwarf_Die()
        guard dwarf_child(&die, &child) == 0 else { return }
        while body(DebuggingEntry(raw: child)) {
            var next = Dwarf_Die()
            guard dwarf_siblingof(&child, &next) == 0 else { return }
            // A sibling lies behind: anything else would go round for ever.
            guard UInt(bitPattern: next.addr) > UInt(bitPattern: child.addr) else { return }
            child = next
        }
    }

    /// The address ranges `[start, end)`, at most `limit` of them.
    func ranges(limit: Int) -> [Range<UInt64>] {
        var die = raw
        var result: [Range<UInt64>] = []
        var base: Dwarf_Addr = 0
        var start: Dwarf_Addr = 0
        var end: Dwarf_Addr = 0
        var offset = 0
        while result.count < limit {
            let next = dwarf_ranges(&die, offset, &base, &start, &end)
            guard next > 0, next != offset else { break }
            offset = next
            if start < end { result.append(start..<end) }
        }
        return result
    }

    /// Where a call of this subprogram starts.
    var entryAddress: UInt64? {
        var die = raw
        var address: Dwarf_Addr = 0
        if dwarf_hasattr(&die, UInt32(DW_AT_entry_pc)) != 0, dwarf_entrypc(&die, &address) == 0 {
            return address
        }
        if dwarf_hasattr(&die, UInt32(DW_AT_low_pc)) != 0 {
            return dwarf_lowpc(&die, &address) == 0 ? address : nil
        }
        // Split into a hot and a cold part: compilers write the part with the entry first.
        guard dwarf_hasattr(&die, UInt32(DW_AT_ranges)) != 0 else { return nil }
        return ranges(limit: 1).first?.lowerBound
    }

    /// The bytes from the attribute's value to the end of its section.
    private func roomInSection(_ attribute: Dwarf_Attribute) -> Int? {
        guard let value = attribute.valp, let dwarf = dwarf_cu_getdwarf(attribute.cu),
            let elf = dwarf_getelf(dwarf)
        else { return nil }
        let address = UInt(bitPattern: value)
        var section: OpaquePointer?
        while let next = elf_nextscn(elf, section) {
            section = next
            guard let data = elf_getdata(next, nil), let start = data.pointee.d_buf else { continue }
            let first = UInt(bitPattern: start)
            if address >= first, address - first < data.pointee.d_size {
                return Int(data.pointee.d_size) - Int(address - first)
            }
        }
        return nil
    }
}
