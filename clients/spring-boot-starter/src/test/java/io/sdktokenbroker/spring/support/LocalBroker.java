package io.sdktokenbroker.spring.support;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.ServerSocket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

import org.springframework.boot.json.JsonParserFactory;

/** The built broker, its vendor simulator and a Redis server, as three processes. */
public class LocalBroker implements AutoCloseable {
    public static final String KEY = "key-of-the-tests-with-enough-characters";

    /** The one of all tests. A test that stops it starts it again. It ends with this process. */
    public static LocalBroker shared() {
        return Shared.BROKER;
    }

    private static class Shared {
        static final LocalBroker BROKER = new LocalBroker();

        static {
            Runtime.getRuntime().addShutdownHook(new Thread(BROKER::close));
        }
    }

    private static final File MAIN = new File("../../dist/main.js");
    private static final HttpClient HTTP = HttpClient.newHttpClient();

    private final int redisPort = freePort();
    private final int adminPort = freePort();
    private final LocalProcess redis = start(Map.of(), "redis-server", "--port", String.valueOf(redisPort),
            "--bind", "127.0.0.1", "--save", "");
    private final LocalProcess vendor = startNode(Map.of(), "simulate-vendor", "--port", "0");
    private final String vendorUrl = vendor.firstLine("^Vendor simulator +(http://\\S+)");
    private LocalProcess broker;
    private String publicUrl;

    private LocalBroker() {
        redis.firstLine("(Ready to accept connections)");
        startBroker();
    }

    /** The address of the internal API. */
    public String url() {
        return "http://127.0.0.1:" + adminPort;
    }

    /** The address of the public API. Each start changes it. */
    public String publicUrl() {
        return publicUrl;
    }

    /** Starts the broker again, with the same addresses and the same data. */
    public void startBroker() {
        Map<String, String> settings = new HashMap<>();
        settings.put("HOST", "127.0.0.1");
        settings.put("PORT", "0");
        settings.put("ADMIN_PORT", String.valueOf(adminPort));
        settings.put("ADMIN_TOKEN", KEY);
        settings.put("VENDOR_BASE_URL", vendorUrl);
        settings.put("VENDOR_APPS", """
                {"ios":{"appId":"demo-app","appToken":"demo-app-token","appKey":"demo-app-key"},\
                "android":{"appId":"demo-app","appToken":"demo-app-token","appKey":"demo-app-key"}}""");
        settings.put("SESSION_JWT_SECRET", "a secret of the tests with more than 32 bytes");
        settings.put("SESSION_JWT_ISSUER", "https://accounts.example");
        settings.put("SESSION_JWT_AUDIENCE", "sdk-token-broker");
        settings.put("REDIS_URL", "redis://127.0.0.1:" + redisPort);
        broker = startNode(settings, "serve");
        publicUrl = broker.firstLine("\"url\":\"(http://[^\"]+)\".*\"msg\":\"ready\"");
        Eventually.eventually(() -> call("GET", url() + "/readyz", null).statusCode() == 200);
    }

    public void stopBroker() {
        broker.close();
    }

    public static String newAccount() {
        return "account-" + UUID.randomUUID();
    }

    /** The status of {@code GET /accounts/{unionId}}, without the starter. */
    public int accountStatus(String unionId) {
        return call("GET", url() + "/accounts/" + unionId, null).statusCode();
    }

    public long vendorLogins(String unionId) {
        Map<String, Object> state = json(call("GET", vendorUrl + "/simulator/state", null));
        return ((List<?>) state.get("loginsByTerminal")).stream().map(login -> (Map<?, ?>) login)
                .filter(login -> unionId.equals(login.get("unionId")))
                .mapToLong(login -> ((Number) login.get("logins")).longValue()).sum();
    }

    public boolean vendorAccepts(String accessToken) {
        String body = "{\"accessToken\":\"" + accessToken + "\"}";
        return Boolean.TRUE.equals(json(call("POST", vendorUrl + "/simulator/check-token", body)).get("live"));
    }

    /** Changes how the simulated vendor answers, from the next login on. */
    public void vendor(String settings) {
        HttpResponse<String> answer = call("POST", vendorUrl + "/simulator/configure", settings);
        if (answer.statusCode() != 200) {
            throw new IllegalStateException(answer.body());
        }
    }

    @Override
    public void close() {
        broker.close();
        vendor.close();
        redis.close();
    }

    public static int freePort() {
        try (ServerSocket socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    /** Sends a request with the key of the internal API, and more headers by name and value. */
    public static HttpResponse<String> call(String method, String url, String body, String... headers) {
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(url)).header("Authorization", "Bearer " + KEY)
                .header("Content-Type", "application/json").method(method, body == null ? BodyPublishers.noBody() : BodyPublishers.ofString(body));
        if (headers.length > 0) {
            request.headers(headers);
        }
        try {
            return HTTP.send(request.build(), BodyHandlers.ofString());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    public static Map<String, Object> json(HttpResponse<String> answer) {
        return JsonParserFactory.getJsonParser().parseMap(answer.body());
    }

    /** The first number with this name. */
    public static double number(HttpResponse<String> answer, String name) {
        Matcher matcher = Pattern.compile("\"" + name + "\":([0-9.E-]+)").matcher(answer.body());
        return matcher.find() ? Double.parseDouble(matcher.group(1)) : Double.NaN;
    }

    private static LocalProcess startNode(Map<String, String> environment, String... arguments) {
        if (!MAIN.exists()) {
            throw new IllegalStateException(MAIN + " is missing. Run `npm ci` in the root of the repository");
        }
        String[] command = new String[arguments.length + 2];
        command[0] = "node";
        command[1] = MAIN.getPath();
        System.arraycopy(arguments, 0, command, 2, arguments.length);
        return start(environment, command);
    }

    private static LocalProcess start(Map<String, String> environment, String... command) {
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().keySet().retainAll(Set.of("PATH"));
        builder.environment().putAll(environment);
        try {
            return new LocalProcess(builder.start());
        } catch (IOException error) {
            throw new IllegalStateException(command[0] + " is not installed", error);
        }
    }

    private static class LocalProcess implements AutoCloseable {
        private final Process process;
        private final StringBuffer lines = new StringBuffer();

        LocalProcess(Process process) {
            this.process = process;
            Thread reader = new Thread(() -> {
                try (var output = process.inputReader()) {
                    output.lines().forEach(line -> lines.append(line).append('\n'));
                } catch (IOException | UncheckedIOException ended) {
                    // The stream is closed when the process ends.
                }
            });
            reader.setDaemon(true);
            reader.start();
        }

        String firstLine(String pattern) {
            Pattern compiled = Pattern.compile(pattern, Pattern.MULTILINE);
            for (int wait = 0; wait < 600; wait += 1) {
                Matcher matcher = compiled.matcher(lines);
                if (matcher.find()) {
                    return matcher.group(1);
                }
                if (!process.isAlive()) {
                    break;
                }
                sleep(50);
            }
            throw new IllegalStateException("No line matches " + pattern + ":\n" + lines);
        }

        @Override
        public void close() {
            process.destroy();
            try {
                if (!process.waitFor(10, TimeUnit.SECONDS)) {
                    process.destroyForcibly();
                }
            } catch (InterruptedException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    static void sleep(long ms) {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }
}
