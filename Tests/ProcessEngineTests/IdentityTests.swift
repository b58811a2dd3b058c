import Foundation
import Testing

/// Threads and processes that nobody but the kernel knows by their right name.
@Suite("Thread ids", .serialized)
struct IdentityTests {
    @Test(
        "The child of a raw clone has its own thread and process id in records", .timeLimit(.minutes(1)),
        arguments: ["library", "frame", "raw", "process", "fork"])
    func clones(how: String) throws {
        let log = Fixtures.temporary.appendingPathComponent("clones-\(how).json").path
        let run = try Fixtures.run(
            HardProgram.fsessionPath, ["trace", "-q", "--json", "-o", log, "exe:tell", "--", try Fixtures.target("clones"), how])
        #expect(run.status == 0, "\(run)")
        var makers = 0
        var children = 0
        for line in try String(contentsOfFile: log, encoding: .utf8).split(separator: "\n") {
            let object = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
            guard object["type"] as? String == "call" else { continue }
            // It is called with its caller's real ids.
            let told = try #require(object["arguments"] as? [Int])
            let thread = try #require(object["tid"] as? Int)
            #expect(thread == told[0], "\(line)")
            #expect(object["pid"] as? Int == told[1], "\(line)")
            if told[0] == told[1], how != "process", how != "fork" { makers += 1 } else { children += 1 }
        }
        #expect(makers + children == 60)
        if how != "process", how != "fork" { #expect(makers == 30 && children == 30) }
    }
}
