/* The part of an app in Java that is in the documents, between the marks. */
package example;

import io.sdktokenbroker.Transport;
import io.sdktokenbroker.okhttp.OkHttpTransport;
import java.net.InetAddress;
import java.util.ArrayList;
import java.util.List;
import okhttp3.Dns;
import okhttp3.OkHttpClient;

public final class JavaHttpDns {
    private JavaHttpDns() { }

    public static Transport transport(HttpDns httpDns) {
        // docs: httpdns
        OkHttpClient http = new OkHttpClient.Builder()
            .dns(hostname -> {
                List<InetAddress> addresses = new ArrayList<>();
                for (String ip : httpDns.resolve(hostname)) addresses.add(InetAddress.getByName(ip));
                return addresses.isEmpty() ? Dns.SYSTEM.lookup(hostname) : addresses;
            })
            .build();
        Transport transport = new OkHttpTransport(http);
        // docs end
        return transport;
    }

    public static Dns returningNull() {
        return hostname -> null;
    }
}
