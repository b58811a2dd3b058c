import CLibDW
import ELF

/// libelf's and libdw's view of a file that is in memory.
final class LibraryHandle {
    let dwarf: OpaquePointer
    private let elf: OpaquePointer
    private let file: ELFFile
    /// The section headers as they are in the file, where libelf changes them: it does that to those of compressed sections.
    private let headers: (offset: Int, bytes: [UInt8])?

    init(_ file: ELFFile) throws(DebugInfoError) {
        let path = file.name
        guard file.kind != .relocatable else { throw .notLinked(path: path) }
        guard file.isSteady else {
            throw .unreadable(path: path, reason: "another user may change it, and at \(file.memory.count >> 20) MiB it is too large to be copied")
        }
        if let reason = CompressedSections.refusal(of: file) { throw .unreadable(path: path, reason: reason) }
        headers = CompressedSections.areIn(file) ? file.sectionHeaders : nil
        self.file = file
        _ = elf_version(UInt32(EV_CURRENT))
        let image = UnsafeMutableRawPointer(mutating: file.memory.baseAddress)?.assumingMemoryBound(to: CChar.self)
        guard let image, let elf = elf_memory(image, file.memory.count) else { throw .notELF(path: path) }
        guard let dwarf = dwarf_begin_elf(elf, DWARF_C_READ, nil) else {
            let code = dwarf_errno()
            // libdw has no name for the code that says "no DWARF information".
            let reason = dwarf_errmsg(code).map { String(cString: $0) } ?? "unknown error"
            elf_end(elf)
            Self.restore(headers, in: file)
            throw reason.hasPrefix("no DWARF") ? .noDebugInformation(path: path) : .unreadable(path: path, reason: reason)
        }
        self.elf = elf
        self.dwarf = dwarf
    }

    private static func restore(_ headers: (offset: Int, bytes: [UInt8])?, in file: ELFFile) {
        guard let headers, let start = file.memory.baseAddress else { return }
        UnsafeMutableRawPointer(mutating: start + headers.offset).copyMemory(from: headers.bytes, byteCount: headers.bytes.count)
    }

    deinit {
        dwarf_end(dwarf)
        elf_end(elf)
        Self.restore(headers, in: file)
    }
}
