/// A stack of plain values in memory of its own: what an array costs for being shared is not paid here, where
/// something is appended for every other instruction.
struct GrowingBuffer<Element: BitwiseCopyable>: ~Copyable {
    private var elements: UnsafeMutablePointer<Element>
    private(set) var capacity: Int
    private(set) var count = 0

    init(capacity: Int = 64) {
        self.capacity = max(1, capacity)
        elements = .allocate(capacity: self.capacity)
    }

    deinit { elements.deallocate() }

    var memory: Int { capacity * MemoryLayout<Element>.stride }
    var isEmpty: Bool { count == 0 }

    subscript(index: Int) -> Element {
        @inline(__always) get {
            precondition(index >= 0 && index < count)
            return elements[index]
        }
        @inline(__always) set {
            precondition(index >= 0 && index < count)
            elements[index] = newValue
        }
    }

    /// Its elements, until it is changed.
    var contents: UnsafeBufferPointer<Element> { UnsafeBufferPointer(start: elements, count: count) }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count == capacity { grow() }
        elements[count] = element
        count += 1
    }

    @inline(__always)
    mutating func popLast() -> Element? {
        guard count > 0 else { return nil }
        count -= 1
        return elements[count]
    }

    mutating func removeAll() { count = 0 }

    @inline(never)
    private mutating func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        larger.update(from: elements, count: count)
        elements.deallocate()
        elements = larger
        capacity *= 2
    }
}
