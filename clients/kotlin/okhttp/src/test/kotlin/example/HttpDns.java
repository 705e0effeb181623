package example;

import java.util.List;

/** Stands for the HTTPDNS service of a cloud provider, which the app asks over HTTPS. */
public interface HttpDns {
    List<String> resolve(String host);
}
