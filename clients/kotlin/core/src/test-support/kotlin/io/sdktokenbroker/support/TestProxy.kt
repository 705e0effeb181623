package io.sdktokenbroker.support

import java.io.InputStream
import java.net.InetAddress
import java.net.ServerSocket
import java.net.Socket
import java.util.concurrent.CopyOnWriteArrayList
import javax.net.ServerSocketFactory
import kotlin.concurrent.thread

/** Stands between the client and the broker, on sockets, and plays the trouble that a phone has with its network. */
class TestProxy @JvmOverloads constructor(
    private val targetPort: Int,
    private val sockets: ServerSocketFactory = ServerSocketFactory.getDefault(),
) : AutoCloseable {
    /** Answers with this instead of the broker. The argument is the number of the request, from 1. */
    @Volatile var answer: (Int) -> String? = { null }

    /** Takes requests and never answers. */
    @Volatile var silent = false

    /** Answers with this head, and after it with bytes of JSON without an end. */
    @Volatile var endless: String? = null

    /** Waits before it passes a request on. */
    @Volatile var beforeForwarding: () -> Unit = {}

    /** Waits before it passes an answer of the broker on. The argument is the number of the answer, from 1. */
    @Volatile var beforeAnswering: (Int) -> Unit = {}

    /** The heads of all requests. */
    val requests = CopyOnWriteArrayList<String>()

    /** The first lines of all answers of the broker. */
    val answers = CopyOnWriteArrayList<String>()

    /** Connections that the client closed while [silent] or [endless]. */
    val abandoned = CopyOnWriteArrayList<Socket>()

    /** A thread that waits in accept() can take one more connection after close(). */
    @Volatile private var connected = true
    private val connections = CopyOnWriteArrayList<Socket>()
    private var server = listen(0)
    val port: Int = server.localPort

    /** As in airplane mode: nothing listens any more. */
    fun disconnect() {
        connected = false
        server.close()
        connections.forEach(Socket::close)
    }

    fun reconnect() {
        server = listen(port)
        connected = true
    }

    override fun close() = disconnect()

    private fun listen(port: Int): ServerSocket {
        val listening = sockets.createServerSocket(port, 50, InetAddress.getByName("127.0.0.1"))
        thread(isDaemon = true) {
            // The loop ends when the socket is closed, and a connection when either side closes it.
            runCatching {
                while (true) {
                    val client = listening.accept()
                    thread(isDaemon = true) { runCatching { serve(client) } }
                }
            }
        }
        return listening
    }

    private fun serve(client: Socket) = client.use {
        connections += client
        if (!connected) return@use
        val head = readHead(client.getInputStream())
        requests += head
        val canned = answer(requests.size)
        val endless = endless
        when {
            endless != null -> answerWithoutEnd(endless, client)
            canned != null -> client.getOutputStream().write(canned.toByteArray())
            silent -> {
                client.getInputStream().read()
                abandoned += client
            }
            else -> forward(head, client)
        }
    }

    private fun answerWithoutEnd(head: String, client: Socket) {
        // Valid as chunks, and as one long string of JSON.
        val chunk = "2000\r\n" + "{\"a\":".repeat(8_192).take(8_192) + "\r\n"
        runCatching {
            client.getOutputStream().write(head.toByteArray())
            while (true) client.getOutputStream().write(chunk.toByteArray())
        }
        abandoned += client
    }

    private fun forward(head: String, client: Socket) {
        beforeForwarding()
        Socket("127.0.0.1", targetPort).use { target ->
            target.getOutputStream().write(head.replace("Connection: keep-alive", "Connection: close", ignoreCase = true).toByteArray())
            val answer = target.getInputStream().readBytes()
            answers += answer.decodeToString().lineSequence().first()
            beforeAnswering(answers.size)
            client.getOutputStream().write(answer)
        }
    }

    private fun readHead(input: InputStream): String {
        val head = StringBuilder()
        while (!head.endsWith("\r\n\r\n")) {
            val byte = input.read()
            check(byte >= 0) { "The connection ended within a head" }
            head.append(byte.toChar())
        }
        return head.toString()
    }
}

/** An answer of something that is not the broker. */
fun page(status: String, body: String, vararg headers: String, type: String = "text/html"): String =
    (listOf("HTTP/1.1 $status", "Content-Type: $type", "Content-Length: ${body.length}", "Connection: close") + headers)
        .joinToString("\r\n") + "\r\n\r\n" + body
