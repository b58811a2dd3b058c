import Engine
import KernelEngine
import Testing

@Suite("How functions are named")
struct PatternTests {
    @Test(
        "a colon separates the module, but not within a name",
        arguments: [
            ("libz:deflate", "libz", "deflate"), ("deflate", nil, "deflate"), ("libz:ns::f", "libz", "ns::f"), ("ns::f", nil, "ns::f"),
            ("f[abi:cxx11]", nil, "f[abi:cxx11]"), ("libz:f[abi:cxx11]", "libz", "f[abi:cxx11]"), ("lib[a-z]*:f", "lib[a-z]*", "f"),
            ("main.f(x: Swift.Int)", nil, "main.f(x: Swift.Int)"), ("exe:main.f(x: Swift.Int)", "exe", "main.f(x: Swift.Int)"),
            ("[[:alpha:]]*", nil, "[[:alpha:]]*"), ("/a/b (c):f", "/a/b (c)", "f"), ("libz:operator<", "libz", "operator<"),
            ("ns::operator<", nil, "ns::operator<"),
        ] as [(String, String?, String)])
    func separators(text: String, module: String?, function: String) throws {
        let pattern = try FunctionPattern(text)
        #expect(pattern.module?.text == module)
        #expect(pattern.function.text == function)
    }

    @Test("what the kernel does not offer is refused, and not left out in silence")
    func options() throws {
        try KernelEngine.check(LoadOptions())
        #expect { try KernelEngine.check(LoadOptions(verifies: false)) } throws: { "\($0)".contains("the kernel verifies all programs itself") }
        #expect { try KernelEngine.check(LoadOptions(allowsWriting: true)) } throws: { "\($0)".contains("bpf_probe_write_user") }
    }
}
