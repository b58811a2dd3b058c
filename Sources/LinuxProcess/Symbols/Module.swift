import CLinux
import ELF
import Glibc

/// An ELF file that a process has loaded.
package struct Module: Sendable, Identifiable {
    /// The same file at the same place.
    package struct ID: Hashable, Sendable {
        package let deviceMajor: UInt32
        package let deviceMinor: UInt32
        package let inode: UInt64
        package let loadBias: UInt64
    }

    package let id: ID
    /// The path as the process sees it; "[vdso]" for the vdso.
    package let path: String
    /// The last part of the path.
    package let name: String
    /// Its name among the files of the process, where debug files are looked for; nil for the vdso, and for a file whose
    /// name is gone.
    package let place: DebugFile.Place?
    /// DT_SONAME.
    package let soname: String?
    /// The program itself.
    package let isExecutable: Bool
    package let isVDSO: Bool
    /// The file has been deleted or replaced since it was loaded.
    package let isDeleted: Bool
    /// Address in memory minus address in the file.
    package let loadBias: UInt64
    /// Its mapped regions, by ascending address.
    package let regions: [MemoryMap.Region]
    /// The file's own headers, symbols and relocations.
    package let file: ELFFile

    /// From the first to the last mapped byte.
    package var range: Range<UInt64> {
        guard let first = regions.first, let last = regions.last else { return 0..<0 }
        return first.range.lowerBound..<last.range.upperBound
    }

    /// The mapped ranges with execute permission.
    package var codeRanges: [Range<UInt64>] {
        regions.filter { $0.permissions.contains(.execute) }.map(\.range)
    }

    /// True when an address lies in the module's code.
    package func hasCode(at address: UInt64) -> Bool {
        regions.contains { $0.permissions.contains(.execute) && $0.range.contains(address) }
    }
}

/// The modules of a process; cheap to read again after a dlopen.
package struct ModuleList: Sendable {
    package let pid: pid_t
    /// By ascending address.
    package private(set) var modules: [Module] = []
    /// Mapped code whose file could not be read, with the reason.
    package private(set) var unreadable: [(path: String, error: ProcessError)] = []
    /// Files that are no ELF files: looked at once.
    private var ignored: Set<FileKey> = []
    private var lastMap: MemoryMap?

    /// glibc has 16 namespaces that a library may be loaded into.
    private static let mostLoads = 64
    /// Four times the code of the largest programs.
    private static let mostCode: UInt64 = 1 << 30
    /// Each is opened and read.
    private static let mostFiles = 4096

    private struct FileKey: Hashable {
        var major: UInt32
        var minor: UInt32
        var inode: UInt64
        var path: String
    }

    package init(pid: pid_t) throws(ProcessError) {
        self.pid = pid
        _ = try refresh()
    }

    /// The program itself.
    package var executable: Module? { modules.first { $0.isExecutable } }

    /// The module that holds an address.
    package func module(at address: UInt64) -> Module? {
        modules.first { $0.regions.contains { $0.range.contains(address) } }
    }

    /// What a refresh found.
    package struct Changes: Sendable {
        package var added: [Module] = []
        package var removed: [Module.ID] = []
        package var isEmpty: Bool { added.isEmpty && removed.isEmpty }
    }

    /// Reads the memory map again; files that were there before are not opened again.
    package mutating func refresh() throws(ProcessError) -> Changes {
        let map = try MemoryMap(pid: pid)
        if map == lastMap { return Changes() }
        var groups: [FileKey: [MemoryMap.Region]] = [:]
        var order: [FileKey] = []
        let movable = map.regions.filter(MovedCode.mayBe)
        for region in map.regions where (region.inode != 0 || region.path == "[vdso]") && !MovedCode.mayBe(region) {
            let key = FileKey(
                major: region.deviceMajor, minor: region.deviceMinor, inode: region.inode, path: region.path)
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(region)
        }
        let known = Dictionary(grouping: modules) {
            FileKey(major: $0.id.deviceMajor, minor: $0.id.deviceMinor, inode: $0.id.inode, path: $0.path)
        }
        var programHeaders: UInt64?
        if let vector = try? AuxiliaryVector(pid: pid) { programHeaders = vector.programHeaders }
        var found: [Module] = []
        var unreadable: [(path: String, error: ProcessError)] = []
        for key in order where !ignored.contains(key) {
            guard let regions = groups[key] else { continue }
            let moved = MovedCode.beside(regions, among: movable)
            guard !moved.isEmpty || regions.contains(where: { $0.permissions.contains(.execute) }) else { continue }
            guard found.count < Self.mostFiles else {
                unreadable.append((key.path, .moduleFile(path: key.path, detail: "the process has loaded more than \(Self.mostFiles) files")))
                break
            }
            if let before = known[key], Self.areSame(before, regions, moved) {
                found += before
                continue
            }
            do throws(ProcessError) {
                let new = try Self.modules(pid: pid, regions: regions, moved: moved, programHeaders: programHeaders)
                if new.isEmpty, moved.isEmpty { ignored.insert(key) }
                found += new
            } catch {
                unreadable.append((key.path, error))
            }
        }
        let before = Set(modules.map(\.id))
        let now = Set(found.map(\.id))
        let changes = Changes(
            added: found.filter { !before.contains($0.id) },
            removed: modules.map(\.id).filter { !now.contains($0) })
        modules = found.sorted { $0.range.lowerBound < $1.range.lowerBound }
        self.unreadable = unreadable
        lastMap = map
        return changes
    }

    private static func areSame(_ modules: [Module], _ regions: [MemoryMap.Region], _ moved: [MemoryMap.Region]) -> Bool {
        let before = modules.flatMap(\.regions)
        return before == regions || !moved.isEmpty && before == (regions + moved).sorted { $0.range.lowerBound < $1.range.lowerBound }
    }

    /// The modules that one file's regions make up: several when it is loaded more than once (dlmopen).
    /// None when it is no ELF file.
    private static func modules(
        pid: pid_t, regions: [MemoryMap.Region], moved: [MemoryMap.Region], programHeaders: UInt64?
    ) throws(ProcessError) -> [Module] {
        guard let first = regions.first else { return [] }
        let isVDSO = first.path == "[vdso]"
        let opened: OpenedModule
        if isVDSO {
            let memory = try ProcessMemory(pid: pid)
            let bytes = try memory.read(
                at: first.range.lowerBound, count: Int(first.range.upperBound - first.range.lowerBound))
            guard let file = try? ELFFile(bytes: bytes, name: "[vdso]") else { return [] }
            opened = OpenedModule(file: file, place: nil, isDeleted: false)
        } else {
            guard let file = try open(pid: pid, regions: regions) else { return [] }
            opened = file
        }
        let file = opened.file
        var biases: [UInt64] = []
        for region in regions where region.permissions.contains(.execute) {
            if biases.count < mostLoads, let bias = isVDSO ? vdsoBias(file, region) : loadBias(file, region), !biases.contains(bias) {
                biases.append(bias)
            }
        }
        if biases.count > 1 { biases = copies(of: file, regions, biases) }
        // All of the code may have moved.
        if biases.isEmpty, !moved.isEmpty, let bias = MovedCode.loadBias(file, regions) { biases.append(bias) }
        var regions = regions
        if biases.count == 1, let bias = biases.first {
            let own = moved.filter { MovedCode.isCode(of: file, loadBias: bias, $0, pid: pid) }
            if !own.isEmpty { regions = (regions + own).sorted { $0.range.lowerBound < $1.range.lowerBound } }
        }
        guard regions.contains(where: { $0.permissions.contains(.execute) }) else {
            if let bias = biases.first, moved.contains(where: { MovedCode.place(of: $0, in: file, loadBias: bias) != nil }) {
                throw .moduleFile(path: first.path, detail: "the memory where its code belongs holds something else, which is not traced")
            }
            return []
        }
        let loads = file.segments.filter { $0.type == .load }
        let low = loads.map(\.address).min() ?? 0
        let high = loads.map { $0.address &+ $0.memorySize }.max() ?? 0
        let soname = file.soname
        var modules: [Module] = []
        for bias in biases {
            let start = low &+ bias & ~0xfff
            let own = regions.filter { $0.range.lowerBound >= start && $0.range.lowerBound < high &+ bias || isVDSO }
            guard !own.isEmpty else { continue }
            let code = own.reduce(UInt64(0)) { $0 &+ ($1.permissions.contains(.execute) ? UInt64($1.range.count) : 0) }
            guard code <= mostCode else {
                throw .moduleFile(path: first.path, detail: "its code takes \(code >> 20) MiB; at most \(mostCode >> 20) MiB are read")
            }
            let isExecutable = !isVDSO && own.contains { programHeaders.map($0.range.contains) ?? false }
            modules.append(
                Module(
                    id: .init(
                        deviceMajor: first.deviceMajor, deviceMinor: first.deviceMinor, inode: first.inode, loadBias: bias),
                    path: first.path, name: first.path.split(separator: "/").last.map(String.init) ?? first.path,
                    place: opened.place, soname: soname, isExecutable: isExecutable,
                    isVDSO: isVDSO, isDeleted: opened.isDeleted, loadBias: bias, regions: own, file: file))
        }
        return modules
    }

    /// Where the file is loaded as a whole. V8 maps a part of its own code once more, to be near to the code that it makes:
    /// that is no second module.
    private static func copies(of file: ELFFile, _ regions: [MemoryMap.Region], _ biases: [UInt64]) -> [UInt64] {
        let loads = file.segments.filter { $0.type == .load && $0.fileSize > 0 }
        let whole = biases.filter { bias in
            loads.allSatisfy { load in regions.contains { $0.range.contains(load.address &+ bias) } }
        }
        return whole.isEmpty ? Array(biases.prefix(1)) : whole
    }

    private static func vdsoBias(_ file: ELFFile, _ region: MemoryMap.Region) -> UInt64? {
        file.segments.first { $0.type == .load }.map { region.range.lowerBound &- ($0.address & ~0xfff) }
    }

    /// By the executable segment that the region maps a part of.
    private static func loadBias(_ file: ELFFile, _ region: MemoryMap.Region) -> UInt64? {
        for segment in file.segments where segment.type == .load && segment.flags.contains(.execute) {
            let start = segment.offset & ~0xfff
            guard region.offset >= start, region.offset < segment.offset &+ segment.fileSize else { continue }
            return region.range.lowerBound &- (segment.address & ~0xfff) &- (region.offset - start)
        }
        return nil
    }

    /// A module's file, and what became of its name.
    private struct OpenedModule {
        var file: ELFFile
        var place: DebugFile.Place?
        var isDeleted: Bool
    }

    /// Opens the very file that is mapped; nil when it is no ELF file of this machine.
    private static func open(pid: pid_t, regions: [MemoryMap.Region]) throws(ProcessError) -> OpenedModule? {
        guard let first = regions.first else { return nil }
        var places: [DebugFile.Place] = []
        if !first.isDeleted {
            let files = TargetFiles(pid: pid)
            if let path = files.path(ofMapped: first.path) {
                places.append(DebugFile.Place(path, in: files))
            } else if let files = files.outsideOfRoot {
                places.append(DebugFile.Place(first.path, in: files))
            }
        }
        for place in places {
            if let descriptor = try? place.files.open(place.path), isMapped(descriptor, by: first) {
                return try read(descriptor, first.path).map { OpenedModule(file: $0, place: place, isDeleted: false) }
            }
        }
        // Behind these there is the file itself, whatever has become of its name.
        let range = first.range
        let mapFile = "/proc/\(pid)/map_files/\(String(range.lowerBound, radix: 16))-\(String(range.upperBound, radix: 16))"
        for path in ["/proc/\(pid)/exe", mapFile] {
            if let descriptor = try? TargetFiles.own.open(path), isMapped(descriptor, by: first) {
                return try read(descriptor, first.path).map { OpenedModule(file: $0, place: nil, isDeleted: true) }
            }
        }
        throw .moduleFile(
            path: first.path,
            detail:
                "its file has been deleted or replaced since it was loaded, or cannot be seen from here; restart the process, or run fsession as root"
        )
    }

    /// The inode tells whether it is the same file; the device number does not on some file systems.
    private static func isMapped(_ descriptor: borrowing FileDescriptor, by region: MemoryMap.Region) -> Bool {
        var information = stat()
        return fstat(descriptor.rawValue, &information) == 0 && UInt64(information.st_ino) == region.inode
    }

    /// nil when it is no ELF file.
    private static func read(_ descriptor: borrowing FileDescriptor, _ path: String) throws(ProcessError) -> ELFFile? {
        do {
            return try ELFFile(descriptor: descriptor.rawValue, name: path)
        } catch {
            if case .notELF = error { return nil }
            throw .moduleFile(path: path, detail: "\(error)")
        }
    }
}
