package io.sdktokenbroker.spring.support;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Answers with prepared texts, like a load balancer or a broken network. It repeats the last text. */
public class CannedServer implements AutoCloseable {
    /** Closes the connection without an answer. */
    public static final String HANG_UP = "";

    /** The head of an answer that goes on until the client closes the connection, with 100 bytes in a millisecond. */
    public static final String WITHOUT_END = "HTTP/1.1 200 OK\r\n\r\n";

    /** When each request arrived, in nanoseconds. */
    public final List<Long> requests = new CopyOnWriteArrayList<>();
    private final ServerSocket server;
    private final List<Socket> connections = new CopyOnWriteArrayList<>();
    private volatile boolean clientHasClosed;

    public CannedServer(String... answers) throws IOException {
        server = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
        Thread thread = new Thread(() -> {
            try {
                while (true) {
                    Socket connection = server.accept();
                    connections.add(connection);
                    readHead(connection.getInputStream());
                    requests.add(System.nanoTime());
                    String answer = answers[Math.min(requests.size(), answers.length) - 1];
                    connection.getOutputStream().write(answer.getBytes(StandardCharsets.UTF_8));
                    if (answer.equals(WITHOUT_END)) {
                        writeUntilClosed(connection.getOutputStream());
                    } else if (answer.equals(HANG_UP) || answer.contains("Connection: close")) {
                        connection.close();
                    }
                }
            } catch (IOException closed) {
                // The end of the test.
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    public String url() {
        return "http://127.0.0.1:" + server.getLocalPort();
    }

    /** Whether the client has closed the connection of an answer without an end. */
    public boolean clientHasClosed() {
        return clientHasClosed;
    }

    public static String answer(String status, String body, String... headers) {
        return "HTTP/1.1 " + status + "\r\nConnection: close\r\nContent-Length: " + body.length() + "\r\n"
                + String.join("", List.of(headers).stream().map(header -> header + "\r\n").toList()) + "\r\n" + body;
    }

    /** A problem as the broker sends it. */
    public static String problem(int status, String code, boolean retryable, String... headers) {
        return answer(status + " x", "{\"status\":" + status + ",\"code\":\"" + code + "\",\"retryable\":" + retryable
                + ",\"requestId\":\"request-1\"}", headers);
    }

    @Override
    public void close() throws IOException {
        server.close();
        for (Socket connection : connections) {
            connection.close();
        }
    }

    private void writeUntilClosed(OutputStream output) {
        try {
            while (true) {
                output.write(new byte[100]);
                LocalBroker.sleep(1);
            }
        } catch (IOException closed) {
            clientHasClosed = true;
        }
    }

    private static void readHead(InputStream input) throws IOException {
        StringBuilder head = new StringBuilder();
        while (head.indexOf("\r\n\r\n") < 0) {
            int read = input.read();
            if (read < 0) {
                throw new IOException("the connection ended within a head");
            }
            head.append((char) read);
        }
    }
}
