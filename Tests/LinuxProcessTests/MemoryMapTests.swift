import Glibc
import LinuxProcess
import Testing

@Suite("The memory map") struct MemoryMapTests {
    static let text = """
        55d0c0000000-55d0c0001000 r--p 00000000 fe:01 1234                       /usr/bin/prog
        55d0c0001000-55d0c0003000 r-xp 00001000 fe:01 1234                       /usr/bin/prog
        55d0c0003000-55d0c0004000 rw-p 00003000 fe:01 1234                       /tmp/a b (deleted)
        55d0c1000000-55d0c1021000 rw-p 00000000 00:00 0                          [heap]
        7f0000000000-7f0000001000 rw-s 00000000 00:01 77                         /memfd:x\\012y (deleted)
        7ffff0000000-7ffff0021000 rw-p 00000000 00:00 0                          [stack]
        ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
        garbage
        10-5 r--p 0 0:0 0
        """

    @Test("every field of a line is read, and what is no line is left out")
    func parse() {
        let map = MemoryMap(parsing: Array(Self.text.utf8))
        #expect(map.regions.count == 7)
        let code = map.regions[1]
        #expect(code.range == 0x55d0c0001000..<0x55d0c0003000)
        #expect(code.permissions == [.read, .execute])
        #expect(code.offset == 0x1000)
        #expect(code.deviceMajor == 0xfe && code.deviceMinor == 1 && code.inode == 1234)
        #expect(code.path == "/usr/bin/prog" && !code.isDeleted)
        #expect(map.regions[2].path == "/tmp/a b" && map.regions[2].isDeleted)
        #expect(map.regions[3].path == "[heap]")
        #expect(map.regions[4].path == "/memfd:x\ny" && map.regions[4].isDeleted)
        #expect(map.regions[4].permissions == [.read, .write, .shared])
        #expect(map.region(at: 0x55d0c0002fff) == code)
        #expect(map.region(at: 0x55d0c0004000) == nil)
    }

    @Test("a gap is near, free, and leaves room for the heap and the stack")
    func gap() throws {
        let map = MemoryMap(parsing: Array(Self.text.utf8))
        let reach: UInt64 = 1 << 31
        let near = try #require(map.gap(near: 0x55d0c0001000..<0x55d0c0003000, size: 0x10000, within: reach))
        #expect(near == 0x55d0c0004000)
        // Not between the heap and the place it may grow to.
        let above = try #require(map.gap(near: 0x55d0c1021000, size: 0x10000, within: reach))
        #expect(above < 0x55d0c1000000 || above >= 0x55d0c1021000 + (1 << 30))
        let stack = try #require(map.gap(near: 0x7ffff0000000, size: 0x10000, within: reach))
        #expect(stack >= 0x7ffff0021000 || stack <= 0x7ffff0000000 - (64 << 20) - 0x10000)
        #expect(map.gap(near: 0x55d0c0001000, size: 1 << 33, within: reach) == nil)
        #expect(map.gap(near: 0x55d0c0001000, size: 0, within: reach) == nil)
    }

    @Test("a full neighbourhood has no gap, a low one starts above mmap_min_addr")
    func edges() throws {
        let full = MemoryMap(regions: [
            MemoryMap.Region(range: 0x1000..<0x7fff_ffff_f000, permissions: .read)
        ])
        #expect(full.gap(near: 0x400000, size: 4096, within: 1 << 31) == nil)
        let fixed = MemoryMap(
            regions: [
                MemoryMap.Region(range: 0x400000..<0x500000, permissions: .execute, inode: 1, path: "/a")
            ], heapStart: 0x500000)
        #expect(fixed.gap(near: 0x400000..<0x500000, size: 0x10000, within: 1 << 31) == 0x3f0000)
        let large = try #require(fixed.gap(near: 0x400000..<0x500000, size: 0x400000, within: 1 << 31))
        #expect(large >= 0x500000 + (1 << 30))
    }

    @Test("the map of this process holds its own code")
    func own() throws {
        let map = try MemoryMap(pid: getpid())
        #expect(map.regions.contains { $0.path == "[vdso]" && $0.permissions.contains(.execute) })
        #expect(map.heapStart != nil)
        #expect(throws: ProcessError.noSuchProcess(pid: 4_194_303)) { _ = try MemoryMap(pid: 4_194_303) }
    }
}
