import Glibc

/// A range of a file's bytes, without a copy; it keeps the file's memory alive.
///
/// Reading outside gives `nil`, so hostile offsets need no care from the caller.
package struct ByteSlice: Sendable {
    let image: FileImage
    let start: Int
    /// Number of bytes.
    package let count: Int

    init(_ image: FileImage) {
        self.image = image
        start = 0
        count = image.bytes.count
    }

    private init(image: FileImage, start: Int, count: Int) {
        self.image = image
        self.start = start
        self.count = count
    }

    /// The part at `offset`, or nil where it would leave this slice.
    package func slice(at offset: UInt64, count size: UInt64) -> ByteSlice? {
        let (end, overflow) = offset.addingReportingOverflow(size)
        guard !overflow, end <= UInt64(count) else { return nil }
        return ByteSlice(image: image, start: start + Int(offset), count: Int(size))
    }

    /// The little-endian integer at `offset`.
    package func load<Value: FixedWidthInteger & BitwiseCopyable>(
        _ type: Value.Type = Value.self, at offset: UInt64
    ) -> Value? {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(MemoryLayout<Value>.size))
        guard !overflow, end <= UInt64(count) else { return nil }
        return Value(littleEndian: raw.loadUnaligned(fromByteOffset: Int(offset), as: Value.self))
    }

    /// The bytes of the NUL-terminated string at `offset`, for a comparison that allocates nothing. nil where it
    /// starts or ends outside, or is longer than 65,535 bytes.
    package func withCString<Result, Failure: Error>(
        at offset: UInt64, _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard offset < UInt64(count) else { return nil }
        // No longer name is known to exist; in a hostile table each of a million could be the whole table.
        let rest = UnsafeRawBufferPointer(rebasing: raw[Int(offset)...].prefix(1 << 16))
        guard let start = rest.baseAddress, let end = memchr(start, 0, rest.count) else { return nil }
        let length = start.distance(to: UnsafeRawPointer(end))
        return try body(UnsafeRawBufferPointer(rebasing: rest[..<length]))
    }

    /// The NUL-terminated string at `offset`; nil as for ``withCString(at:_:)``.
    package func string(at offset: UInt64) -> String? {
        withCString(at: offset) { String(decoding: $0, as: UTF8.self) }
    }

    /// All of it, for the time of the call.
    package func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(raw)
    }

    /// A copy of the bytes.
    package var bytes: [UInt8] { [UInt8](raw) }

    private var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: image.bytes[start..<start + count]) }
}
