import LinuxProcess
import Testing

@Suite("The forms in which people write a name") struct ReadableNameTests {
    static let cases: [(text: String, forms: [String])] = [
        ("ns::f(int, char const*)", ["ns::f(int, char const*)", "ns::f"]),
        ("ns::f(int) const", ["ns::f"]),
        ("ns::f(int) const &", ["ns::f"]),
        ("ns::f(int) [clone .cold]", ["ns::f"]),
        ("int ns::most<int>(int, int)", ["int ns::most<int>", "ns::most<int>", "ns::most"]),
        ("std::__cxx11::basic_string<char> ns::text[abi:cxx11]<int>(int)", ["ns::text[abi:cxx11]<int>", "ns::text<int>", "ns::text"]),
        ("ns::tagged[abi:cxx11](int)", ["ns::tagged[abi:cxx11]", "ns::tagged"]),
        (
            "std::vector<int, std::allocator<int> >::push_back(int&&)",
            ["std::vector<int, std::allocator<int> >::push_back", "std::vector::push_back"]
        ),
        (
            "void std::vector<int>::emplace<int const&>(int const&)",
            ["std::vector<int>::emplace<int const&>", "std::vector<int>::emplace", "std::vector::emplace"]
        ),
        ("(anonymous namespace)::f(int)", ["(anonymous namespace)::f"]),
        ("ns::(anonymous namespace)::f<(ns::kind)1>(int)", ["ns::(anonymous namespace)::f"]),
        ("f(int)::{lambda(int)#1}::operator()(int) const", ["f(int)::{lambda(int)#1}::operator()"]),
        ("bool operator< <int>(Less const&, int)", ["operator< <int>", "operator<"]),
        ("bool operator<=> <int>(Less const&, int)", ["operator<=>"]),
        ("std::ostream& std::operator<< <char>(std::ostream&, char const*)", ["std::operator<<"]),
        ("Box<int>::operator bool() const", ["Box<int>::operator bool", "Box::operator bool"]),
        ("Box<int>::operator->() const", ["Box<int>::operator->", "Box::operator->"]),
        ("Box::operator()(int)", ["Box::operator()"]),
        ("Box::operator new[](unsigned long)", ["Box::operator new[]"]),
        ("decltype ((a)->b) ns::f<int>(int)", ["ns::f<int>", "ns::f"]),
        ("void f<(&(operator<(A, B)))>(int)", ["f"]),
        ("<mycrate::Foo>::bar", ["<mycrate::Foo>::bar", "mycrate::Foo::bar"]),
        ("<alloc::vec::Vec<u8>>::push", ["alloc::vec::Vec::push", "<alloc::vec::Vec>::push"]),
        ("<Foo<u8> as Trait<u8>>::bar", ["<Foo as Trait>::bar"]),
        ("core::ptr::drop_in_place::<alloc::string::String>", ["core::ptr::drop_in_place"]),
        ("core::ptr::drop_in_place<alloc::string::String>", ["core::ptr::drop_in_place"]),
        ("mycrate::main::{closure#0}", ["mycrate::main::{closure#0}"]),
        ("main.foo() -> ()", ["main.foo"]),
        ("main.most<A where A: Swift.Comparable>(A, A) -> A", ["main.most"]),
    ]

    @Test("each form is there", arguments: cases.indices)
    func forms(index: Int) {
        let (text, wanted) = Self.cases[index]
        let isSwift = text.hasPrefix("main."), isRust = text.contains("crate::") || text.hasPrefix("<") || text.hasPrefix("core::")
        let forms = ReadableName.forms(of: text, mangled: isSwift ? "$s" : isRust ? "_R" : "_Z")
        for form in wanted { #expect(forms.contains(form), "\(form) of \(text): \(forms)") }
        #expect(forms.contains(text))
    }

    @Test("what the compiler makes besides is not found by the name of the function")
    func besides() {
        for text in ["non-virtual thunk to ns::Box::f()", "virtual thunk to ns::Box::f()", "vtable for ns::Box<int>", "guard variable for f()::x"] {
            #expect(ReadableName.forms(of: text, mangled: "_Z") == [text])
        }
    }

    @Test("whatever is no such name, is answered")
    func odd() {
        for text in [
            "", "(", ")", "<", ">", "<<<>", "operator", "operator<", "a<b", "a>b<", "f(", "f)", "()", "[abi:", "f[abi:x", " ", "a b c(d) const const",
            "<>::f", "< as >",
        ] {
            for mangled in ["_Z", "_R", "$s"] { #expect(ReadableName.forms(of: text, mangled: mangled).contains(text)) }
        }
    }

    @Test("a form that is too short would stand for others: types, results and operators are not names")
    func notNames() {
        for (text, mangled, wrong) in [
            ("main.Point.x.getter : Swift.Int", "$s", "Swift.Int"), ("main.most<A>(A, A) -> A", "$s", "A"),
            ("Box<int>::operator>(int) const", "_Z", "Box"),
            ("Box<int>::operator->() const", "_Z", "Box"), ("Box<int>::f()", "_Z", "Box"),
        ] {
            #expect(!ReadableName.forms(of: text, mangled: mangled).contains(wrong), "\(text)")
        }
    }
}
