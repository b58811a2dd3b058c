import FSession
import Foundation
import PlainText

/// A call as a line: time, thread, function, arguments, return value, duration.
struct CallText {
    /// CLOCK_REALTIME minus CLOCK_MONOTONIC.
    private let offset: Int64
    private var second: Int64 = -1
    private var clock = ""

    init() {
        var real = timespec()
        var monotonic = timespec()
        clock_gettime(CLOCK_REALTIME, &real)
        clock_gettime(CLOCK_MONOTONIC, &monotonic)
        offset =
            (Int64(real.tv_sec) - Int64(monotonic.tv_sec)) * 1_000_000_000 + Int64(real.tv_nsec)
            - Int64(monotonic.tv_nsec)
    }

    mutating func line(_ call: Session.Call, _ output: Output) -> TerminalText {
        let arguments = call.renderedArguments.joined(separator: ", ")
        var line: TerminalText = "\(time(call.start)) \(padded(call.threadID.description)) "
        line += output.styled(call.function.displayName, .bold)
        line += call.argumentsAreTyped ? "(\(arguments))" : "(\(arguments)\(arguments.isEmpty ? "" : ", ")…)"
        if let returned = call.renderedReturnValue {
            if !returned.isEmpty { line += " = \(output.styled(returned, .cyan))" }
        } else {
            line += output.styled(" does not return", .faint)
        }
        if let duration = call.duration { line += output.styled("  \(Self.duration(duration.nanoseconds))", .green) }
        return line
    }

    private func padded(_ text: String) -> String {
        String(repeating: " ", count: max(0, 7 - text.count)) + text
    }

    /// Time of day, to the microsecond.
    mutating func time(_ monotonic: UInt64) -> String {
        let nanoseconds = Int64(bitPattern: monotonic) &+ offset
        let second = nanoseconds / 1_000_000_000
        if second != self.second {
            self.second = second
            var time = time_t(second)
            var parts = tm()
            localtime_r(&time, &parts)
            clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { $0 < 10 ? "0\($0)" : "\($0)" }
                .joined(separator: ":")
        }
        let micro = String(nanoseconds % 1_000_000_000 / 1000)
        return clock + "." + String(repeating: "0", count: max(0, 6 - micro.count)) + micro
    }

    /// Nanoseconds since 1970.
    func wall(_ monotonic: UInt64) -> Int64 { Int64(bitPattern: monotonic) &+ offset }

    /// `840ns`, `12.34µs`, `5.67ms`, `1.234s`
    static func duration(_ nanoseconds: UInt64) -> String {
        switch nanoseconds {
        case ..<1000: "\(nanoseconds)ns"
        case ..<1_000_000: String(format: "%.2fµs", Double(nanoseconds) / 1e3)
        case ..<1_000_000_000: String(format: "%.2fms", Double(nanoseconds) / 1e6)
        default: String(format: "%.3fs", Double(nanoseconds) / 1e9)
        }
    }
}

extension Duration {
    /// Of one that is not negative.
    fileprivate var nanoseconds: UInt64 {
        UInt64(clamping: components.seconds) * 1_000_000_000 + UInt64(clamping: components.attoseconds / 1_000_000_000)
    }
}

extension JSON {
    /// The same call as an object.
    init(_ call: Session.Call, wall: Int64) {
        self = [
            "type": "call", "time": JSON(call.start), "wall": JSON(wall), "pid": JSON(call.processID), "tid": JSON(call.threadID),
            "module": JSON(call.function.module), "function": JSON(call.function.displayName), "arguments": JSON(call.arguments.map { JSON($0) }),
            "return": call.returnValue.map { JSON($0) },
            "text": call.argumentsAreTyped
                ? ["arguments": JSON(call.renderedArguments.map { JSON($0) }), "return": call.renderedReturnValue.map { JSON($0) }] : nil,
            "duration": call.duration.map { JSON($0.nanoseconds) },
        ]
    }
}
