import ELF

/// The binary search table of .eh_frame_hdr: where functions start and end in a file without symbols.
package struct UnwindIndex: Sendable {
    private let file: ELFFile
    private let header: ByteSlice
    private let headerAddress: UInt64
    /// Offset of the first table entry in the header, and their number.
    private let table: UInt64
    private let count: UInt64

    /// nil when the file has no table, or one that no linker makes.
    package init?(_ file: ELFFile) {
        guard let segment = file.segments.first(where: { $0.type == .unwindIndex }),
            let header = try? file.contents(of: segment),
            // Version; pointer and count of four bytes; entries of two words relative to the header.
            header.load(UInt8.self, at: 0) == 1, let pointer: UInt8 = header.load(at: 1), pointer & 0x0f == 0x0b || pointer & 0x0f == 0x03,
            header.load(UInt8.self, at: 2) == 0x03, header.load(UInt8.self, at: 3) == 0x3b,
            let count: UInt32 = header.load(at: 8), UInt64(header.count) >= 12 + UInt64(count) * 8
        else { return nil }
        self.file = file
        self.header = header
        headerAddress = segment.address
        table = 12
        self.count = UInt64(count)
    }

    /// The range of addresses of the file that one unwind entry covers: a function, or the cold part of one.
    package func range(containing address: UInt64) -> Range<UInt64>? {
        var low: UInt64 = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            guard let start = relative(table + middle * 8) else { return nil }
            if start <= address { low = middle + 1 } else { high = middle }
        }
        guard low > 0, let start = relative(table + (low - 1) * 8), let entry = relative(table + (low - 1) * 8 + 4),
            let size = size(ofEntryAt: entry)
        else { return nil }
        let (end, overflow) = start.addingReportingOverflow(size)
        guard !overflow, start <= address, address < end else { return nil }
        return start..<end
    }

    /// Where the ranges of all entries start.
    package func forEachStart(_ visit: (UInt64) -> Void) {
        for index in 0..<count { if let start = relative(table + index * 8) { visit(start) } }
    }

    /// `range(containing:)` of a file that is loaded `bias` above the addresses that it has.
    package static func ranges(of file: ELFFile, bias: UInt64) -> @Sendable (UInt64) -> Range<UInt64>? {
        guard let index = UnwindIndex(file) else { return { _ in nil } }
        return { address in
            index.range(containing: address &- bias).map { $0.lowerBound &+ bias..<($0.upperBound &+ bias) }
        }
    }

    private func relative(_ offset: UInt64) -> UInt64? {
        header.load(Int32.self, at: offset).map { headerAddress &+ UInt64(bitPattern: Int64($0)) }
    }

    /// The pc range of an FDE; the encoding of its pointers is in its CIE.
    private func size(ofEntryAt address: UInt64) -> UInt64? {
        guard let offset = file.offset(ofAddress: address), let length: UInt32 = file.bytes.load(at: offset),
            length != .max, length >= 12, let distance: UInt32 = file.bytes.load(at: offset + 4), distance != 0,
            UInt64(distance) <= offset + 4, let encoding = pointerEncoding(cieAt: offset + 4 - UInt64(distance))
        else { return nil }
        switch encoding & 0x0f {
        case 0x00, 0x04, 0x0c: return file.bytes.load(UInt64.self, at: offset + 16)
        case 0x03, 0x0b: return file.bytes.load(UInt32.self, at: offset + 12).map { UInt64($0) }
        case 0x02, 0x0a: return file.bytes.load(UInt16.self, at: offset + 10).map { UInt64($0) }
        default: return nil
        }
    }

    /// The "R" of the augmentation; absolute pointers without it.
    private func pointerEncoding(cieAt offset: UInt64) -> UInt8? {
        let bytes = file.bytes
        guard bytes.load(UInt32.self, at: offset + 4) == 0, let version: UInt8 = bytes.load(at: offset + 8),
            let augmentation = bytes.withCString(at: offset + 9, { $0.count <= 16 ? Array($0) : nil }) ?? nil
        else { return nil }
        var position = offset + 9 + UInt64(augmentation.count) + 1
        func skipLEB() -> Bool {
            for _ in 0..<10 {
                guard let byte: UInt8 = bytes.load(at: position) else { return false }
                position += 1
                if byte & 0x80 == 0 { return true }
            }
            return false
        }
        guard skipLEB(), skipLEB() else { return nil }
        if version == 1 { position += 1 } else if !skipLEB() { return nil }
        guard augmentation.first == UInt8(ascii: "z") else { return 0 }
        guard skipLEB() else { return nil }
        for letter in augmentation.dropFirst() {
            guard let value: UInt8 = bytes.load(at: position) else { return nil }
            switch letter {
            case UInt8(ascii: "R"): return value
            case UInt8(ascii: "L"): position += 1
            case UInt8(ascii: "P"):
                switch value & 0x0f {
                case 0x00, 0x04, 0x0c: position += 9
                case 0x03, 0x0b: position += 5
                case 0x02, 0x0a: position += 3
                default: return nil
                }
            case UInt8(ascii: "S"), UInt8(ascii: "B"): break
            default: return nil
            }
        }
        return 0
    }
}
