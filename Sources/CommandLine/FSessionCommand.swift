@main struct FSessionCommand { static func main() {} }
