import LinuxProcess
import Testing

@Suite("Names of linkers and of sources") struct DemanglerTests {
    static let cases: [(String, String?)] = [
        // C++
        ("_ZN2ns1fEv", "ns::f()"),
        ("_Z3addii", "add(int, int)"),
        ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)"),
        ("_ZN9wikipedia7article6formatEv", "wikipedia::article::format()"),
        ("_ZTV3Foo", "vtable for Foo"),
        // Swift
        ("$s4main3fooyyF", "main.foo() -> ()"),
        ("$sSS7cStringSSSPys4Int8VG_tcfC", "Swift.String.init(cString: Swift.UnsafePointer<Swift.Int8>) -> Swift.String"),
        ("_$s4main5PointV1xSivg", "main.Point.x.getter : Swift.Int"),
        // Rust, legacy
        ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
        (
            "_ZN50_$LT$std..io..Stdout$u20$as$u20$std..io..Write$GT$5write17h0123456789abcdefE",
            "<std::io::Stdout as std::io::Write>::write"
        ),
        ("_ZN4main28_$u7b$$u7b$closure$u7d$$u7d$17h0123456789abcdefE", "main::{{closure}}"),
        ("_ZN3foo17h05af221e174051e9E.llvm.123", "foo"),
        ("_ZN5alloc7raw_vec19RawVec$LT$T$C$A$GT$4grow17h0123456789abcdefE", "alloc::raw_vec::RawVec<T,A>::grow"),
        // Rust, v0 (names of the RFC's examples and of its test suite)
        ("_RNvC6_123foo3bar", "123foo::bar"),
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_RNvNtC7mycrate3mod4func", "mycrate::mod::func"),
        ("_RNCNvC7mycrate4main0", "mycrate::main::{closure#0}"),
        ("_RNCNvC7mycrate4mains_0", "mycrate::main::{closure#1}"),
        ("_RNvMs_C7mycrateNtB4_3Foo3bar", "<mycrate::Foo>::bar"),
        ("_RNvXC7mycrateNtB2_3FooNtB2_5Trait3bar", "<mycrate::Foo as mycrate::Trait>::bar"),
        ("_RINvC7mycrate3foolmE", "mycrate::foo::<i32, u32>"),
        ("_RINvC7mycrate3fooRShE", "mycrate::foo::<&[u8]>"),
        ("_RINvC7mycrate3fooTlEE", "mycrate::foo::<(i32,)>"),
        ("_RINvC7mycrate3fooFUKCEuE", "mycrate::foo::<unsafe extern \"C\" fn()>"),
        ("_RINvC7mycrate3fooKj7b_E", "mycrate::foo::<123>"),
        ("_RINvC7mycrate3fooKb1_Kc41_Kanf_E", "mycrate::foo::<true, 'A', -15>"),
        ("_RINvC7mycrate3fooAhj4_E", "mycrate::foo::<[u8; 4]>"),
        ("_RINvC7mycrate3fooDNtC4core4SendNtB2_4SyncEL_E", "mycrate::foo::<dyn core::Send + mycrate::Sync>"),
        (
            "_RINvC7mycrate3fooDINtC4core8IteratorlEp4ItemhEL_E",
            "mycrate::foo::<dyn core::Iterator<i32, Item = u8>>"
        ),
        ("_RINvC7mycrate3fooFG_RL0_hEuE", "mycrate::foo::<for<'a> fn(&'a u8)>"),
        ("_RNvC7mycrateu8gdel_5qa", "mycrate::gödel"),
        ("_RNvC7mycrate3foo.llvm.42", "mycrate::foo"),
        // Not mangled, or damaged
        ("main", nil), ("", nil), ("_", nil), ("_Z", nil), ("_ZN", nil), ("_ZN9", nil), ("$s", nil), ("_R", nil),
        ("_RNvC7mycrate99foo", nil), ("_RB_", nil), ("_RNvB0_3foo", nil), ("_ZN3foo", nil),
    ]

    @Test("demangles", arguments: cases)
    func demangle(name: String, expected: String?) {
        #expect(Demangler.demangle(name) == expected)
    }

    /// A number as v0 writes it.
    private static func base62(_ value: Int) -> String {
        guard value > 0 else { return "_" }
        let digits = Array("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
        var rest = value - 1
        var text = ""
        repeat {
            text = String(digits[rest % 62]) + text
            rest /= 62
        } while rest > 0
        return text + "_"
    }

    @Test("hostile names end soon, without a crash")
    func hostile() {
        // Depth, back references to back references, and every mutation of the names above.
        #expect(Demangler.demangle("_R" + String(repeating: "Nv", count: 5000) + "C1a1b") == nil)
        #expect(Demangler.demangle("_RINvC1a1b" + String(repeating: "R", count: 10000) + "hE") == nil)
        // Each tuple names the one before three times: 3^20 words if nothing stopped it.
        var doubling = "_RINvC1a1bThE"
        var last = 10
        for _ in 0..<20 {
            let reference = "B" + Self.base62(last - 2)
            last = doubling.utf8.count
            doubling += "T\(reference)\(reference)\(reference)E"
        }
        #expect(Demangler.demangle(doubling + "E") == nil)
        _ = Demangler.demangle("_ZN" + String(repeating: "3foo", count: 4000) + "E")
        _ = Demangler.demangle("_Z" + String(repeating: "P", count: 16000) + "i")
        var state: UInt64 = 88172645463325252
        func random(_ bound: Int) -> Int {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            return Int(state % UInt64(bound))
        }
        let alphabet = Array("_RNvCIEBTLKFDG0123456789abcdefghijs$Zu.".utf8)
        for _ in 0..<200_000 {
            var name = Array(Self.cases[random(Self.cases.count)].0.utf8)
            guard name.count > 4 else { continue }
            for _ in 0..<(1 + random(3)) { name[2 + random(name.count - 2)] = alphabet[random(alphabet.count)] }
            let text = String(decoding: name, as: UTF8.self)
            // Swift's and C++'s demanglers are not ours; Rust's are.
            if text.hasPrefix("_R") || text.hasSuffix("E") { #expect((Demangler.demangle(text)?.utf8.count ?? 0) <= 1 << 15) }
        }
    }
}
