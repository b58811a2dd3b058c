import Glibc
import LinuxBPF
import Testing

@Suite("Structures for the kernel")
struct StructureTests {
    @Test("a member is where C has it")
    func places() {
        let map = MapCreate {
            $0.mapType = 0x0403_0201
            $0.valueSize = 9
        }
        #expect(map.bytes.prefix(12) == [1, 2, 3, 4, 0, 0, 0, 0, 9, 0, 0, 0])
        #expect(map.bytes.count == MapCreate.size && map.mapType == 0x0403_0201)
        // Members of a union are at the same place.
        #expect(LinkCreate { $0.kprobeMultiCookies = 7 }.uprobeMultiCookies == 7)
        #expect(
            ProgramInfo(bytes: Array(1...8)).id == 0x0807_0605 && ProgramInfo(bytes: Array(repeating: 1, count: 999)).bytes.count == ProgramInfo.size)
    }

    @Test("the size ends behind the last member that says something")
    func sizes() {
        #expect(ObjectByID().usedSize == 0)
        #expect(LinkCreate { $0.progFd = 3 }.usedSize == 8)
        #expect(LinkCreate { $0.tracingCookie = 1 }.usedSize == 32)
        #expect(LinkCreate { $0.tracingCookie = 0 }.usedSize == 0)
        #expect(ProgramLoad { $0.progName = "p" }.usedSize == 56)
        #expect(ProgramLoad { $0.keyringId = -1 }.usedSize <= ProgramLoad.size)
    }

    @Test("bit fields share a word")
    func bits() {
        var event = PerfEventAttributes()
        event.freq = 1
        event.preciseIp = 3
        event.disabled = 5
        #expect((event.freq, event.preciseIp, event.disabled, event.inherit) == (1, 3, 1, 0))
        event.preciseIp = 0
        #expect(event.bytes[40..<48].elementsEqual([1, 4, 0, 0, 0, 0, 0, 0]))
    }

    @Test("a name has the characters that the kernel allows, and a zero behind it")
    func names() {
        var map = MapCreate { $0.mapName = "a map/with.a very long name" }
        #expect(map.mapName == "a_map_with.a_ve")
        map.mapName = "b"
        #expect(map.mapName == "b" && map.usedSize == 32)
    }

    @Test("an enumerator has its name in C, too")
    func constants() {
        #expect(BPFAttachType.traceFsessionMulti.constant == "BPF_TRACE_FSESSION_MULTI")
        #expect(BPFAttachType.cgroupInet4Bind.constant == "BPF_CGROUP_INET4_BIND" && BPFProgramType.kprobe.constant == "BPF_PROG_TYPE_KPROBE")
    }

    @Test("what addresses lead to is there until the closure ends")
    func arena() {
        AttributeArena.with { arena in
            let texts = arena.address(of: ["first", "", "third"])
            let words = arena.address(of: [1, 2, 3] as [UInt32])
            #expect(arena.address(of: [] as [UInt64]) == 0)
            let room = arena.room(1 << 20)
            #expect(room.count == 1 << 20 && room.allSatisfy { $0 == 0 } && room.text.isEmpty)
            let pointers = UnsafePointer<UnsafePointer<CChar>>(bitPattern: UInt(texts))
            let read = pointers.map { pointers in (0..<3).map { String(cString: pointers[$0]) } }
            #expect(read == ["first", "", "third"])
            #expect(UnsafePointer<UInt32>(bitPattern: UInt(words))?[2] == 3)
        }
    }
}
