// A server with Swift concurrency over plain sockets: it answers so many requests, then prints what it did and ends.
#if canImport(Glibc)
import Glibc
#endif

struct Failure: Error { var text: String }

actor Statistics {
    private var words: [String: Int] = [:]
    func count(_ word: String) -> Int {
        words[word, default: 0] += 1
        return words[word, default: 0]
    }
    var summary: String { words.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ") }
}

func answer(_ line: String, _ statistics: Statistics) async throws -> String {
    let parts = line.split(separator: " ").map(String.init)
    guard let command = parts.first else { throw Failure(text: "empty") }
    let seen = await statistics.count(command)
    switch command {
    case "sum":
        let sum = try parts.dropFirst().map { part throws(Failure) -> Int in
            guard let number = Int(part) else { throw Failure(text: "\(part) is no number") }
            return number
        }.reduce(0, +)
        return "\(sum)"
    case "sort": return parts.dropFirst().sorted().joined(separator: " ")
    case "reverse": return String(line.dropFirst(8).reversed())
    default: throw Failure(text: "unknown \(command) \(seen > 0)")
    }
}

func serve(_ connection: Int32, _ statistics: Statistics) async {
    var buffer = [UInt8](repeating: 0, count: 4096)
    let count = read(connection, &buffer, buffer.count)
    let line = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).trimming()
    var reply: String
    do { reply = try await answer(line, statistics) } catch let failure as Failure { reply = "error: \(failure.text)" } catch { reply = "?" }
    reply += "\n"
    _ = reply.withCString { write(connection, $0, strlen($0)) }
    close(connection)
}

extension String {
    func trimming() -> String { String(self.reversed().drop { $0.isWhitespace }.reversed()) }
}

@main struct Server {
    static func main() async {
        setvbuf(stdout, nil, Int32(_IOLBF), 0)
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                precondition(bind(listener, $0, size) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &size) == 0)
            }
        }
        print(UInt16(bigEndian: address.sin_port))
        let requests = Int(CommandLine.arguments.dropFirst().first ?? "200") ?? 200
        let statistics = Statistics()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<requests {
                let connection = accept(listener, nil, nil)
                group.addTask { await serve(connection, statistics) }
            }
        }
        print(await statistics.summary)
    }
}
