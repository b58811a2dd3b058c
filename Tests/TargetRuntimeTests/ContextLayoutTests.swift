import BPF
import Foundation
import TargetRuntime
import TestSupport
import Testing

/// The words below ctx are named in Swift, in C and in a document.
@Suite struct ContextLayoutTests {
    @Test("Swift and the runtime have the words below ctx at the same places")
    func places() {
        #expect(ContextLayout.metadata.rawValue == Int(FS_CTX_METADATA))
        #expect(ContextLayout.functionIP.rawValue == Int(FS_CTX_FUNCTION_IP))
        #expect(ContextLayout.attachCookie.rawValue == Int(FS_CTX_ATTACH_COOKIE))
        #expect(ContextLayout.tailCalls.rawValue == Int(FS_CTX_TAIL_CALLS))
        #expect(ContextLayout.firstCookie.rawValue == Int(FS_CTX_FIRST_COOKIE))
        #expect(ContextLayout.countMask == FS_CTX_COUNT_MASK)
        // Without a gap: a trampoline pushes them one after the other.
        #expect(ContextLayout.allCases.map(\.depth) == Array(1...ContextLayout.allCases.count))
    }

    @Test("docs/architecture.md draws the words below ctx")
    func documented() throws {
        let lines = try Repository.text("docs/architecture.md").split(separator: "\n")
        for word in ContextLayout.allCases {
            let meaning =
                switch word {
                case .metadata: "metadata"
                case .functionIP: "the function's address"
                case .attachCookie: "attach cookie"
                case .tailCalls: "tail calls"
                case .firstCookie: "session cookies"
                }
            #expect(lines.contains { $0.hasPrefix(" ctx[\(word.rawValue)] ") && $0.contains(meaning) }, "\(word)")
        }
    }
}
